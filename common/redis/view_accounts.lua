-- The accounts as the console shows them: found by their names, and one with its ledger.

do

-- How many names one call goes through where a text may stand anywhere in them.
local NAMES_LOOKED = 2500
local NAMES_PAGE = 500

local MOST_FIELDS_SHOWN, MOST_VALUE_SHOWN = 20, 200 -- in a list

local MOST_OPEN = 50

-- How many entries of a ledger are added up.
local ADDED_UP = 500

local IS_ADDED = { grant = 'granted', adjust = 'adjusted', capture = 'captured', refund = 'refunded', waive = 'waived' }

-- Purses and fields of an account; nil when nobody made it.
local function shown(ns, account)
  local fields, wrong = hash_get(ns .. 'credit:' .. account)
  if not fields then
    return wrong and { account = account, wrong = wrong } or nil
  end
  local row = { account = account, fields = json.fields(fields, IS_PURSE) }
  for _, purse in ipairs(PURSES) do
    row[purse] = json.number(fields[purse] or '0')
  end
  return row
end

local function row_of(ns, account)
  local row = shown(ns, account)
  if row and row.fields then
    row.fields[MOST_FIELDS_SHOWN + 1] = nil
    for _, field in ipairs(row.fields) do
      field.value = json.cut(field.value, MOST_VALUE_SHOWN)
    end
  end
  return row
end

-- The cursor is where it goes on: `p:<account>` behind that one of those that begin with the text, `c:<account>` of
-- those that contain it elsewhere.
local function place_of(cursor)
  if cursor == '' then
    return 'p', nil
  end
  local part, account = cursor:match('^([pc]):(.*)$')
  if not part then
    refuse('"' .. cursor:sub(1, 80) .. '" is no cursor of this list')
  end
  return part, account ~= '' and views.unescape(account) or nil
end

-- ARGV: cursor, how many rows, text (''; all): of the accounts whose names begin with it, then of those that have it
-- elsewhere in them. Answers also `total`: how many accounts there are.
function views.members(keys, args)
  local ns, count = namespace(keys), views.count(args, 2)
  local part, after = place_of(args[1] or '')
  local text = (args[3] or ''):lower():match('^%s*(.-)%s*$')
  local told = { rows = {}, looked = 0, total = redis.call('ZCARD', ns .. 'accounts') }
  while true do
    local names = views.names(ns .. 'accounts', part == 'p' and text or '', after, NAMES_PAGE)
    for _, name in ipairs(names) do
      local at = name:find(text, 1, true)
      local row = at and (part == 'p' or at > 1) and row_of(ns, name) or nil
      if #told.rows == count and row or told.looked == NAMES_LOOKED then
        told.next = part .. ':' .. views.escape(after or '')
        return json.encode(told)
      end
      told.rows[#told.rows + 1] = row
      told.looked = told.looked + 1
      after = name
    end
    if #names < NAMES_PAGE then
      if part == 'c' or text == '' then
        return json.encode(told)
      end
      part, after = 'c', nil
    end
  end
end

-- ---- One account ----

-- Adds up what was granted, captured and so on, of the newest entries of a time; `spent` is by how much more was
-- spent at its end than before, however it came to that (a reschedule moves what was captured).
local function add_up(ns, account, range)
  local key, totals = ns .. 'ledger:' .. account, {}
  for _, name in pairs(IS_ADDED) do
    totals[name] = 0
  end
  local entries = views.backwards(key, range.to_ms or '+', range.from_ms or '-', ADDED_UP + 1)
  for i = 1, math.min(#entries, ADDED_UP) do
    local entry = pairs_of(entries[i][2])
    local name, amount = IS_ADDED[entry.kind], tonumber(entry.amount)
    if name and is_whole(amount) then
      totals[name] = totals[name] + amount
    end
  end
  local function spent_at(entry)
    return entry and tonumber(pairs_of(entry[2]).spent) or 0
  end
  local before = range.from_ms and entries[1] and views.backwards(key, '(' .. range.from_ms .. '-0', '-', 1)[1]
  totals.spent = spent_at(entries[1]) - spent_at(before)
  totals.partial = #entries > ADDED_UP or nil
  return totals
end

local function open_bookings(ns, account)
  local now_s, list = integer(math.floor(now_ms() / 1000)), {}
  local listed = redis.pcall('ZRANGE', ns .. 'open:' .. account, '(' .. now_s, '+inf', 'BYSCORE', 'LIMIT', 0, MOST_OPEN,
    'WITHSCORES')
  for i = 1, #listed, 2 do
    list[#list + 1] = { booking = listed[i], ends_ms = tonumber(listed[i + 1]) * 1000 }
  end
  return list
end

-- ARGV: account, cursor, how many entries of the ledger, from_ms, to_ms ('': no end) of the ledger and what it comes
-- to. `wrong`: why it can be neither charged nor refunded.
function views.account(keys, args)
  local ns, account = namespace(keys), args[1] or ''
  local range = {
    cursor = args[2], count = views.count(args, 3), from_ms = views.time(args[4], 'from_ms'),
    to_ms = views.time(args[5], 'to_ms'),
  }
  local told = shown(ns, account) or { account = account, balance = 0, held = 0, spent = 0, fields = {} }
  told.exists = redis.call('EXISTS', ns .. 'credit:' .. account) == 1
  local _, message = credit.load(ns, account)
  told.wrong = message
  local listed = views.of_stream(ns .. 'ledger:' .. account, range, function(entry, fields)
    local row = { entry = entry, at_ms = views.ms_of(entry), kind = fields.kind, amount = json.number(fields.amount),
      booking = fields.booking, by = fields.by, note = fields.note, from = fields.from, key = fields.key }
    for _, purse in ipairs(PURSES) do
      row[purse] = json.number(fields[purse])
    end
    return row
  end)
  told.ledger, told.next, told.looked = listed.rows, listed.next, listed.looked
  told.totals = add_up(ns, account, range)
  told.waived = told.totals.waived > 0 and told.totals.waived or nil
  told.open = open_bookings(ns, account)
  return json.encode(told)
end

end
