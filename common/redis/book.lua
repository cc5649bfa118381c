-- What an operator does to an account: grant, debit, and set its own fields. Every change of a balance
-- is a ledger entry; the same idempotency key for the same account counts once.

local MAX_ACCOUNT = 320
local MAX_KEY = 200
local MAX_NOTE = 500

-- Of one call; every policy is shown all fields of the account, at each decision.
local MOST_FIELDS = 100
local MOST_FIELD_BYTES = 65536

local IS_PURSE = { balance = true, held = true, spent = true }

local function refuse(text)
  error({ err = 'ERR tollgate: ' .. text })
end

-- Accounts are stored as ingest normalises them; anything else would be a second account.
local function check_account(account)
  if account == '' or #account > MAX_ACCOUNT or account:find('[%c%s]') or account:find('%u') then
    refuse('an account is a name of 1 to ' .. MAX_ACCOUNT
      .. ' bytes in lower case without spaces, not "' .. account:sub(1, 80) .. '"')
  end
end

local function amount_argument(text, what)
  local amount = tonumber(text)
  if not is_whole(amount) or not text:match('^%-?%d+$') then
    refuse(what .. ' must be a whole number of credits, not "' .. tostring(text) .. '"')
  end
  return amount
end

-- What the key was used for before: nil, or true when it was this; another use of it is an error.
local function is_repeated(ns, account, key, use)
  if key == '' then
    return false
  elseif #key > MAX_KEY then
    refuse('a key has at most ' .. MAX_KEY .. ' bytes')
  end
  local before = redis.call('HGET', ns .. 'keys:' .. account, key)
  if before and before:match('^(%S+ %S+) ') ~= use then
    refuse('the key "' .. key .. '" was used for this account already, for: ' .. before)
  end
  return before and true or false
end

-- Puts on record what the call changes, if it does. before: the account as it was, nil: there was none.
local function note_change(ns, account, before, change, is_moved)
  local words, set = {}, {}
  if is_moved then
    words[1] = (change.amount > 0 and 'granted ' or 'debited ') .. integer(math.abs(change.amount))
  end
  for _, field in ipairs(change.fields or {}) do
    if not before or before[field.name] ~= field.value then
      set[#set + 1] = field.name
    end
  end
  if set[1] then
    words[#words + 1] = 'set ' .. table.concat(set, ', ')
  elseif not words[1] then
    return
  end
  changes.note(ns, { by = change.by, what = table.concat(words, '; '), about = account, note = change.note })
end

-- One movement by an operator. `change`: {kind, amount, key, by, note, must_exist, may_overdraw, fields}. Answers
-- {'granted' or 'known', balance, held, spent, 'new' or 'old' account}.
local function book_change(ns, account, change)
  if #change.note > MAX_NOTE then
    refuse('a note has at most ' .. MAX_NOTE .. ' bytes')
  end
  local purses, message = credit.load_for(ns, account, change.kind, change.amount)
  local is_new = not purses
  if message then
    refuse(message)
  elseif is_new and change.must_exist then
    refuse('there is no account ' .. account)
  end
  local use = change.kind .. ' ' .. integer(change.amount)
  local repeated = change.amount ~= 0 and is_repeated(ns, account, change.key, use)
  if change.amount < 0 and not repeated and not change.may_overdraw and purses.balance < -change.amount then
    refuse('the balance of ' .. account .. ' is ' .. integer(purses.balance) .. ', less than ' .. integer(-change.amount))
  end
  local is_moved = change.amount ~= 0 and not repeated
  note_change(ns, account, purses, change, is_moved)
  if is_moved then
    local entry
    purses, entry = credit.move(ns, account, purses, change.kind, change.amount,
      { by = change.by, note = change.note, key = change.key ~= '' and change.key or nil })
    if change.key ~= '' then
      redis.call('HSET', ns .. 'keys:' .. account, change.key, use .. ' ' .. entry)
    end
  else
    purses = credit.book(ns, account, purses)
    if is_new then
      redis.call('HSET', ns .. 'credit:' .. account, 'balance', 0, 'held', 0, 'spent', 0)
    end
    credit.list(ns, account)
  end
  return { repeated and 'known' or 'granted', integer(purses.balance), integer(purses.held),
    integer(purses.spent), is_new and 'new' or 'old' }
end

-- ARGV: account, amount, key, by, note
local function grant(keys, args)
  local ns, account = namespace(keys), args[1]
  check_account(account)
  local amount = amount_argument(args[2], 'a grant')
  if amount <= 0 then
    refuse('a grant must be positive, not ' .. integer(amount) .. '; to take credit away use debit')
  end
  return book_change(ns, account,
    { kind = 'grant', amount = amount, key = args[3] or '', by = args[4] or '', note = args[5] or '' })
end

-- ARGV: account, amount, key, by, note, 1 to let the balance go below 0
local function debit(keys, args)
  local ns, account = namespace(keys), args[1]
  check_account(account)
  local amount = amount_argument(args[2], 'a debit')
  if amount <= 0 then
    refuse('a debit must be positive, not ' .. integer(amount) .. '; to give credit use grant')
  end
  return book_change(ns, account, { kind = 'adjust', amount = -amount, key = args[3] or '', by = args[4] or '',
    note = args[5] or '', must_exist = true, may_overdraw = args[6] == '1' })
end

-- Fields and values of the operator's own, from args[first] on. Answers {{name, value}, …}.
local function check_fields(args, first)
  if #args - first + 1 > 2 * MOST_FIELDS then
    refuse('at most ' .. MOST_FIELDS .. ' fields can be set at once, not ' .. math.ceil((#args - first + 1) / 2))
  end
  local bytes, fields = 0, {}
  for i = first, #args, 2 do
    if IS_PURSE[args[i]] or args[i] == '' then
      refuse('"' .. args[i] .. '" is no field that can be set; balance, held and spent change by movements')
    elseif args[i + 1] == nil then
      refuse('the field "' .. args[i]:sub(1, 80) .. '" has no value')
    end
    bytes = bytes + #args[i] + #args[i + 1]
    fields[#fields + 1] = { name = args[i], value = args[i + 1] }
  end
  if bytes > MOST_FIELD_BYTES then
    refuse('the fields have ' .. bytes .. ' bytes; at most ' .. MOST_FIELD_BYTES .. ' can be set at once')
  end
  return fields
end

-- ARGV: account, amount (0: nothing), key, by, note, then field, value, … of the operator's own.
-- Makes the account when there is none; books what was set by hand.
local function member(keys, args)
  local ns, account = namespace(keys), args[1]
  check_account(account)
  local amount = amount_argument(args[2], 'a grant')
  if amount < 0 then
    refuse('a grant must not be negative; to take credit away use debit')
  end
  local fields = check_fields(args, 6)
  local answer = book_change(ns, account,
    { kind = 'grant', amount = amount, key = args[3] or '', by = args[4] or '', note = args[5] or '', fields = fields })
  if #args > 6 then
    redis.call('HSET', ns .. 'credit:' .. account, unpack(args, 6))
  end
  return answer
end
