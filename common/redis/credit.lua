-- Accounts. `{ns}:credit:<account>` holds balance, held and spent, and whatever the operator adds;
-- `{ns}:ledger:<account>` has one entry for each movement and is never trimmed.
-- Always: what was ever granted = balance + held + spent.

local credit = {}

-- What a movement does to each purse, per credit. Two kinds of entry move nothing: `waive` puts on
-- record what a booking would have cost when the host let it through against our "no", `adjust`
-- what somebody changed by hand.
local MOVEMENTS = {
  hold = { balance = -1, held = 1, spent = 0 },
  capture = { balance = 0, held = -1, spent = 1 },
  release = { balance = 1, held = -1, spent = 0 },
  refund = { balance = 1, held = 0, spent = -1 },
}

-- Gives the account's hash as a table with balance, held and spent as numbers (0 when absent), or
-- nil when nobody ever made this account. The second answer is an error text when a purse holds
-- something that is no whole number; the account can then be neither charged nor refunded.
function credit.load(ns, account)
  local fields = hash_get(ns .. 'credit:' .. account)
  if not fields then
    return nil
  end
  for _, purse in ipairs({ 'balance', 'held', 'spent' }) do
    local number = tonumber(fields[purse] or 0)
    if not is_whole(number) then
      return nil, 'account ' .. account .. ': ' .. purse .. ' is "' .. fields[purse]
        .. '", not a whole number of credits; correct it with HSET and requeue'
    end
    fields[purse] = number
  end
  return fields
end

-- Moves credits in a loaded account (and nowhere else).
function credit.apply(purses, kind, amount)
  local movement = MOVEMENTS[kind]
  for purse, sign in pairs(movement) do
    purses[purse] = purses[purse] + sign * amount
  end
end

local function ledger_add(ns, account, kind, amount, purses, booking, by, note)
  redis.call('XADD', ns .. 'ledger:' .. account, '*', 'kind', kind, 'amount', integer(amount),
    'booking', booking, 'balance', integer(purses.balance), 'held', integer(purses.held),
    'spent', integer(purses.spent), 'by', by, 'note', note)
end

-- The operator may HSET a balance at any time. What was last known is the newest ledger entry; a
-- difference becomes an entry of its own, so that the ledger explains every balance.
local function adjust(ns, account, purses)
  local newest = redis.call('XREVRANGE', ns .. 'ledger:' .. account, '+', '-', 'COUNT', 1)[1]
  local known = 0
  if newest then
    local entry = pairs_of(newest[2])
    known = entry.balance + entry.held + entry.spent
  end
  local difference = purses.balance + purses.held + purses.spent - known
  if difference ~= 0 then
    ledger_add(ns, account, 'adjust', difference, purses, '', 'redis-cli', 'changed by hand')
  end
end

-- One movement: the hash and the ledger change together. `purses` is what credit.load gave in this
-- same call (nil: there is no such account; all but a `waive` make it); it is brought up to date. `note` is for
-- people.
function credit.move(ns, account, purses, kind, amount, booking, note)
  purses = purses or { balance = 0, held = 0, spent = 0 }
  adjust(ns, account, purses)
  if kind ~= 'waive' then
    credit.apply(purses, kind, amount)
    redis.call('HSET', ns .. 'credit:' .. account, 'balance', integer(purses.balance),
      'held', integer(purses.held), 'spent', integer(purses.spent))
  end
  ledger_add(ns, account, kind, amount, purses, booking, 'tollgate', note)
  return purses
end
