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

-- Under this key a loaded account carries what its newest ledger entry adds up to. A number, so that it
-- cannot be one of the operator's fields.
local LEDGER_TOTAL = 1

local function unreadable(account, what)
  return 'account ' .. account .. ': ' .. what .. '; correct it with redis-cli and requeue'
end

-- What the newest ledger entry says was ever granted; nil and an error text when it cannot be read.
local function ledger_total(ns, account)
  local newest = redis.pcall('XREVRANGE', ns .. 'ledger:' .. account, '+', '-', 'COUNT', 1)
  if newest.err then
    return nil, unreadable(account, 'its ledger cannot be read: ' .. newest.err)
  elseif not newest[1] then
    return 0
  end
  local entry = pairs_of(newest[1][2])
  local balance, held, spent = tonumber(entry.balance), tonumber(entry.held), tonumber(entry.spent)
  if not (is_whole(balance) and is_whole(held) and is_whole(spent)) then
    return nil, unreadable(account, 'its newest ledger entry tells no balance, held and spent')
  end
  return balance + held + spent
end

-- Gives the account's hash as a table with balance, held and spent as numbers (0 when absent), or
-- nil when nobody ever made this account. The second answer is an error text when it, a purse or the
-- ledger is not what it must be; the account can then be neither charged nor refunded.
function credit.load(ns, account)
  local flat = redis.pcall('HGETALL', ns .. 'credit:' .. account)
  if flat.err then
    return nil, unreadable(account, 'it cannot be read: ' .. flat.err)
  end
  local total, message = ledger_total(ns, account)
  if message or #flat == 0 then
    return nil, message
  end
  local fields = pairs_of(flat)
  for _, purse in ipairs({ 'balance', 'held', 'spent' }) do
    local number = tonumber(fields[purse] or 0)
    if not is_whole(number) then
      return nil, unreadable(account, purse .. ' is "' .. fields[purse] .. '", not a whole number of credits')
    end
    fields[purse] = number
  end
  fields[LEDGER_TOTAL] = total
  return fields
end

-- Moves credits in a loaded account (and nowhere else).
function credit.apply(purses, kind, amount)
  local movement = MOVEMENTS[kind]
  for purse, sign in pairs(movement) do
    purses[purse] = purses[purse] + sign * amount
  end
end

-- Loads an account for one movement to come. The second answer says why that cannot be: the account
-- cannot be read, or a purse would leave the range in which numbers are exact.
function credit.load_for(ns, account, kind, amount)
  local purses, message = credit.load(ns, account)
  for purse, sign in pairs(not message and MOVEMENTS[kind] or {}) do
    if not is_whole((purses and purses[purse] or 0) + sign * amount) then
      return nil, unreadable(account,
        'a ' .. kind .. ' of ' .. integer(amount) .. ' takes ' .. purse .. ' beyond what a number can hold')
    end
  end
  return purses, message
end

local function ledger_add(ns, account, kind, amount, purses, booking, by, note)
  redis.call('XADD', ns .. 'ledger:' .. account, '*', 'kind', kind, 'amount', integer(amount),
    'booking', booking, 'balance', integer(purses.balance), 'held', integer(purses.held),
    'spent', integer(purses.spent), 'by', by, 'note', note)
end

-- The operator may HSET a balance at any time. What was last known is the newest ledger entry; a
-- difference becomes an entry of its own, so that the ledger explains every balance.
local function adjust(ns, account, purses)
  local difference = purses.balance + purses.held + purses.spent - purses[LEDGER_TOTAL]
  if difference ~= 0 then
    ledger_add(ns, account, 'adjust', difference, purses, '', 'redis-cli', 'set by hand')
    purses[LEDGER_TOTAL] = purses[LEDGER_TOTAL] + difference
  end
end

-- One movement: the hash and the ledger change together. `purses` is what credit.load gave in this
-- same call (nil: there is no such account; all but a `waive` make it); it is brought up to date. `note` is for
-- people.
function credit.move(ns, account, purses, kind, amount, booking, note)
  purses = purses or { balance = 0, held = 0, spent = 0, [LEDGER_TOTAL] = ledger_total(ns, account) }
  adjust(ns, account, purses)
  if kind ~= 'waive' then
    credit.apply(purses, kind, amount)
    redis.call('HSET', ns .. 'credit:' .. account, 'balance', integer(purses.balance),
      'held', integer(purses.held), 'spent', integer(purses.spent))
  end
  ledger_add(ns, account, kind, amount, purses, booking, 'tollgate', note)
  return purses
end
