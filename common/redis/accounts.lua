-- The accounts that one take works with. Everything is planned before the first write, so each account
-- is there twice: `purses` as they are in Redis, and `planned` as they will be when the movements
-- planned so far are done. An account that cannot be read has an error text instead.
--
-- A movement is {account, kind, amount, entry}, see credit.move.

local accounts = {}

-- The account as planned (nil: nobody made it), or nil and why it cannot be read.
function accounts.of(batch, account)
  if batch.known[account] == nil then
    local purses, message = credit.load(batch.ns, account)
    batch.known[account] = true
    batch.purses[account] = purses
    batch.errors[account] = message
    batch.planned[account] = purses and credit.shown(purses)
  end
  return batch.planned[account], batch.errors[account]
end

-- Takes planned movements back, the newest first.
function accounts.undo(batch, movements)
  for i = #movements, 1, -1 do
    local m = movements[i]
    credit.apply(batch.planned[m.account], m.kind, -m.amount)
  end
end

-- Plans movements, all or none. Answers an error text when one cannot be.
function accounts.plan(batch, movements)
  local done = {}
  for _, m in ipairs(movements) do
    local planned, message = accounts.of(batch, m.account)
    if not planned and not message then
      planned = credit.nobody()
      batch.planned[m.account] = planned
    end
    if planned then
      credit.apply(planned, m.kind, m.amount)
      done[#done + 1] = m
      message = credit.out_of_range(m.account, planned, m.kind, m.amount)
    end
    if message then
      accounts.undo(batch, done)
      return message
    end
  end
end

-- Appends a movement; one of nothing, or of nobody, is none.
function accounts.add(movements, account, kind, amount, entry)
  if account and amount > 0 then
    movements[#movements + 1] = { account = account, kind = kind, amount = amount, entry = entry }
  end
end

-- Waived bookings are listed for people.
function accounts.list_waived(ns, id, now)
  redis.call('ZADD', ns .. 'waived', integer(now), id)
  redis.call('ZREMRANGEBYRANK', ns .. 'waived', 0, -WAIVED_KEPT - 1)
end

function accounts.is_waived(ns, id)
  return redis.call('ZSCORE', ns .. 'waived', id) ~= false
end

-- Carries planned movements out.
function accounts.write(batch, movements)
  for _, m in ipairs(movements) do
    batch.purses[m.account] =
      credit.move(batch.ns, m.account, batch.purses[m.account], m.kind, m.amount, m.entry)
    if m.kind == 'waive' then
      accounts.list_waived(batch.ns, m.entry.booking, batch.now)
    end
  end
end
