-- Accounts. `{ns}:credit:<account>` holds balance, held and spent, and whatever the operator adds;
-- `{ns}:ledger:<account>` has one entry for each movement and is never trimmed.
-- `{ns}:accounts` (ZSET, all scores 0) lists them.
-- Always: what was ever granted = balance + held + spent.

local credit = {}

-- What a movement does to each purse, per credit. `waive` moves nothing: it puts on record what a
-- booking would have cost when the host let it through against our "no". A reschedule's `move` takes
-- what the old booking was charged, or (move_held) what it still held; either is held by the new one.
local MOVEMENTS = {
  grant = { balance = 1, held = 0, spent = 0 },
  adjust = { balance = 1, held = 0, spent = 0 },
  hold = { balance = -1, held = 1, spent = 0 },
  capture = { balance = 0, held = -1, spent = 1 },
  release = { balance = 1, held = -1, spent = 0 },
  refund = { balance = 1, held = 0, spent = -1 },
  move = { balance = 0, held = 1, spent = -1 },
  move_held = { balance = 0, held = 0, spent = 0 },
  waive = { balance = 0, held = 0, spent = 0 },
}

local PURSES = { 'balance', 'held', 'spent' }

-- The name that a movement has in the ledger, where it differs.
local LEDGER_KIND = { move_held = 'move' }

-- Under this key a loaded account carries the purses as its newest ledger entry tells them. A number, so
-- that it cannot be one of the operator's fields.
local TOLD = 1

function credit.nobody()
  return { balance = 0, held = 0, spent = 0 }
end

local function unreadable(account, what)
  return 'account ' .. account .. ': ' .. what .. '; correct it with redis-cli and requeue'
end

-- The purses as the newest ledger entry tells them; nil and an error text when it cannot be read.
local function ledger_told(ns, account)
  local newest = redis.pcall('XREVRANGE', ns .. 'ledger:' .. account, '+', '-', 'COUNT', 1)
  if newest.err then
    return nil, unreadable(account, 'its ledger cannot be read: ' .. newest.err)
  elseif not newest[1] then
    local told = credit.nobody()
    told.is_first = true
    return told
  end
  local entry, told = pairs_of(newest[1][2]), {}
  for _, purse in ipairs(PURSES) do
    told[purse] = tonumber(entry[purse])
    if not is_whole(told[purse]) then
      return nil, unreadable(account, 'its newest ledger entry tells no balance, held and spent')
    end
  end
  return told
end

-- Gives the account's hash as a table with balance, held and spent as numbers (0 when absent), or
-- nil when nobody ever made this account. The second answer is an error text when it, a purse or the
-- ledger is not what it must be; the account can then be neither charged nor refunded.
function credit.load(ns, account)
  local fields, wrong = hash_get(ns .. 'credit:' .. account)
  if wrong then
    return nil, unreadable(account, 'it cannot be read: ' .. wrong)
  end
  local told, message = ledger_told(ns, account)
  if message or not fields then
    return nil, message
  end
  for _, purse in ipairs(PURSES) do
    local number = tonumber(fields[purse] or 0)
    if not is_whole(number) then
      return nil, unreadable(account, purse .. ' is "' .. fields[purse] .. '", not a whole number of credits')
    end
    fields[purse] = number
  end
  fields[TOLD] = told
  return fields
end

-- A copy of a loaded account as people and policies know it.
function credit.shown(purses)
  local fields = {}
  for field, value in pairs(purses) do
    if field ~= TOLD then
      fields[field] = value
    end
  end
  return fields
end

-- `{ns}:accounts` has all of them in order of their names, so that one is found without a look at every key. Whatever
-- makes an account lists it; one that somebody made with HSET is listed when it is charged, or the audit meets it.
function credit.list(ns, account)
  redis.call('ZADD', ns .. 'accounts', 0, account)
end

-- Moves credits in a loaded account (and nowhere else).
function credit.apply(purses, kind, amount)
  for purse, sign in pairs(MOVEMENTS[kind]) do
    purses[purse] = purses[purse] + sign * amount
  end
end

-- An error text when a purse left the range in which numbers are exact; `kind` and `amount` name the
-- movement that did it.
function credit.out_of_range(account, purses, kind, amount)
  for _, purse in ipairs(PURSES) do
    if not is_whole(purses[purse]) then
      return unreadable(account, 'a ' .. (LEDGER_KIND[kind] or kind) .. ' of ' .. integer(amount) .. ' takes '
        .. purse .. ' beyond what a number can hold')
    end
  end
end

-- Loads an account for one movement to come. The second answer says why that cannot be.
function credit.load_for(ns, account, kind, amount)
  local purses, message = credit.load(ns, account)
  if message then
    return nil, message
  end
  local after = credit.nobody()
  for purse in pairs(after) do
    after[purse] = purses and purses[purse] or 0
  end
  credit.apply(after, kind, amount)
  return purses, credit.out_of_range(account, after, kind, amount)
end

-- entry: booking, by, note, and where there are such: key, from (see credit.move).
local function ledger_add(ns, account, kind, amount, purses, entry)
  local fields = { 'kind', LEDGER_KIND[kind] or kind, 'amount', integer(amount), 'booking', entry.booking or '',
    'balance', integer(purses.balance), 'held', integer(purses.held), 'spent', integer(purses.spent),
    'by', entry.by or 'tollgate', 'note', entry.note or '' }
  for _, name in ipairs({ 'key', 'from' }) do
    if entry[name] then
      fields[#fields + 1] = name
      fields[#fields + 1] = entry[name]
    end
  end
  for _, purse in ipairs(PURSES) do
    purses[TOLD][purse] = purses[purse]
  end
  return redis.call('XADD', ns .. 'ledger:' .. account, '*', unpack(fields))
end

-- Books what was set by hand, and nothing else: the operator may HSET a balance at any time. What was
-- last known is the newest ledger entry; what differs becomes an entry of its own, so that the ledger
-- explains every purse. Its amount is what that granted; 0 when credit was only put from one purse into
-- another. `purses` is what credit.load gave in this same call; an account that is gone has nothing.
-- Answers purses.
function credit.book(ns, account, purses)
  if not purses then
    purses = credit.nobody()
    purses[TOLD] = ledger_told(ns, account)
  end
  local differs, granted = false, 0
  for _, purse in ipairs(PURSES) do
    local difference = purses[purse] - purses[TOLD][purse]
    differs = differs or difference ~= 0
    granted = granted + difference
  end
  if differs then
    ledger_add(ns, account, 'adjust', granted, purses, { by = 'redis-cli', note = 'set by hand' })
  end
  return purses
end

-- One movement: the hash and the ledger change together. `purses` is what credit.load gave in this
-- same call (nil: there is no such account; all but a `waive` make it); it is brought up to date.
-- entry:
--   booking  whose movement it is; none for a grant
--   by       who: `tollgate` when absent
--   note     for people
--   key      the idempotency key that the caller gave
--   from     the booking that a `move` takes the credits from
-- Answers purses and the ID of the ledger's entry.
function credit.move(ns, account, purses, kind, amount, entry)
  local is_new = not purses
  purses = credit.book(ns, account, purses)
  credit.apply(purses, kind, amount)
  if kind ~= 'waive' then
    redis.call('HSET', ns .. 'credit:' .. account, 'balance', integer(purses.balance),
      'held', integer(purses.held), 'spent', integer(purses.spent))
    if is_new or purses[TOLD].is_first then
      credit.list(ns, account)
      purses[TOLD].is_first = nil
    end
  end
  return purses, ledger_add(ns, account, kind, amount, purses, entry)
end
