-- Accounts. `{ns}:credit:<account>` holds balance, held and spent, and whatever the operator adds;
-- `{ns}:ledger:<account>` has one entry for each movement and is never trimmed.
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

-- These change what was ever granted.
local GRANTS = { grant = true, adjust = true }

-- The name that a movement has in the ledger, where it differs.
local LEDGER_KIND = { move_held = 'move' }

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

-- A copy of a loaded account as people and policies know it.
function credit.shown(purses)
  local fields = {}
  for field, value in pairs(purses) do
    if field ~= LEDGER_TOTAL then
      fields[field] = value
    end
  end
  return fields
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
  for _, purse in ipairs({ 'balance', 'held', 'spent' }) do
    if not is_whole(purses[purse]) then
      return unreadable(account, 'a ' .. (LEDGER_KIND[kind] or kind) .. ' of ' .. integer(amount) .. ' takes '
        .. purse .. ' beyond what a number can hold')
    end
  end
end

function credit.nobody()
  return { balance = 0, held = 0, spent = 0 }
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
  return redis.call('XADD', ns .. 'ledger:' .. account, '*', unpack(fields))
end

-- The operator may HSET a balance at any time. What was last known is the newest ledger entry; a
-- difference becomes an entry of its own, so that the ledger explains every balance.
local function adjust(ns, account, purses)
  local difference = purses.balance + purses.held + purses.spent - purses[LEDGER_TOTAL]
  if difference ~= 0 then
    ledger_add(ns, account, 'adjust', difference, purses, { by = 'redis-cli', note = 'set by hand' })
    purses[LEDGER_TOTAL] = purses[LEDGER_TOTAL] + difference
  end
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
  if not purses then
    purses = credit.nobody()
    purses[LEDGER_TOTAL] = ledger_total(ns, account)
  end
  adjust(ns, account, purses)
  credit.apply(purses, kind, amount)
  if GRANTS[kind] then
    purses[LEDGER_TOTAL] = purses[LEDGER_TOTAL] + amount
  end
  if kind ~= 'waive' then
    redis.call('HSET', ns .. 'credit:' .. account, 'balance', integer(purses.balance),
      'held', integer(purses.held), 'spent', integer(purses.spent))
  end
  return purses, ledger_add(ns, account, kind, amount, purses, entry)
end

-- Books what was set by hand, and nothing else.
function credit.book(ns, account, purses)
  adjust(ns, account, purses)
end
