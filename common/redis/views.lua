-- What the views of the console have in common. Each is a function that answers one JSON text and writes nothing.
-- A list answers `rows`, `looked` (how many it went through, which is bounded) and `next` (the cursor that goes on
-- behind them; absent: that was all). Texts of hashes and streams stand as they are, numbers as numbers.

local views = {}

do

local MOST_ROWS = 500

-- How many entries of a list one call goes through at most, where only some of them are wanted.
local MOST_LOOKED = 500

local PAGE = 100

-- How many rows are asked for.
function views.count(args, index)
  local count = number_argument(args, index, 'the number of rows')
  if count < 1 or count > MOST_ROWS then
    refuse('from 1 to ' .. MOST_ROWS .. ' rows can be asked for')
  end
  return count
end

local function refuse_cursor(cursor)
  refuse('"' .. json.cut(cursor, 80) .. '" is no cursor of this list')
end

-- ARGV from `first` on: name, value, …: what is wanted, as a table of what is not ''. `known` has the names.
function views.wanted(args, first, known)
  local wanted = {}
  for i = first, #args, 2 do
    if not known[args[i]] then
      refuse('"' .. args[i]:sub(1, 80) .. '" is nothing to choose by')
    elseif args[i + 1] == nil then
      refuse('"' .. args[i] .. '" has no value')
    elseif args[i + 1] ~= '' then
      wanted[args[i]] = args[i + 1]
    end
  end
  return wanted
end

-- A time (ms) that may be left out.
function views.time(text, name)
  if (text or '') == '' then
    return nil
  end
  return integer(number_argument({ text }, 1, name))
end

-- When a stream's entry was made.
function views.ms_of(entry_id)
  return tonumber(entry_id:match('^%d+'))
end

-- As XREVRANGE, which goes through all of a stream where the end lies before the first entry (seen with Redis 7.0).
function views.backwards(key, till, since, count)
  local first = redis.pcall('XRANGE', key, '-', '+', 'COUNT', 1)
  if first.err or not first[1] then
    return first
  end
  local open, ms, seq = till:match('^(%(?)(%d+)%-?(%d*)$')
  local first_ms, first_seq = first[1][1]:match('^(%d+)%-(%d+)$')
  ms, first_ms = tonumber(ms), tonumber(first_ms)
  if ms and (ms < first_ms or (ms == first_ms and open == '(' and tonumber(seq) <= tonumber(first_seq))) then
    return {}
  end
  return redis.pcall('XREVRANGE', key, till, since, 'COUNT', count)
end

-- Goes through a stream from the newest entry on. `make` answers an entry's row, or nil when it is not wanted;
-- range: cursor, from_ms, to_ms, count. Answers {rows, next, looked}; a key that holds something else has no rows.
function views.of_stream(key, range, make)
  local cursor = range.cursor or ''
  if cursor ~= '' and not cursor:match('^%d+%-%d+$') then
    refuse_cursor(cursor)
  end
  local till = cursor ~= '' and '(' .. cursor or range.to_ms or '+'
  local told = { rows = {}, looked = 0 }
  while true do
    local is_full = #told.rows == range.count or told.looked == MOST_LOOKED
    local asked = is_full and 1 or math.min(PAGE, MOST_LOOKED - told.looked)
    local page = views.backwards(key, till, range.from_ms or '-', asked)
    if page.err and cursor ~= '' and not page.err:find('^WRONGTYPE') then
      refuse_cursor(cursor)
    elseif is_full then
      told.next = page[1] and till:sub(2) or nil
      return told
    end
    for _, entry in ipairs(page) do
      if #told.rows == range.count then
        told.next = till:sub(2)
        return told
      end
      told.rows[#told.rows + 1] = make(entry[1], pairs_of(entry[2]))
      told.looked = told.looked + 1
      till = '(' .. entry[1]
    end
    if #page < asked then
      return told
    end
  end
end

-- Where a sorted set goes on behind `<score>:<name>`, the highest score first. Names of the same score may come
-- twice when that one is gone.
local function rank_behind(key, cursor)
  local score, name = cursor:match('^([^:]+):(.+)$')
  if not tonumber(score) or tonumber(score) ~= tonumber(score) then
    refuse_cursor(cursor)
  end
  local rank = redis.pcall('ZSCORE', key, name) == score and redis.call('ZREVRANK', key, name)
  return rank and rank + 1 or redis.call('ZCOUNT', key, '(' .. score, '+inf')
end

-- Goes through a sorted set of times, the newest first. `make` answers the row of (name, ms), or nil.
function views.of_times(key, range, make)
  local at = (range.cursor or '') ~= '' and rank_behind(key, range.cursor) or 0
  local told = { rows = {}, looked = 0 }
  while true do
    local page = redis.pcall('ZREVRANGE', key, at, at + PAGE - 1, 'WITHSCORES')
    for i = 1, #page, 2 do
      if #told.rows == range.count or told.looked == MOST_LOOKED then
        told.next = range.behind
        return told
      end
      told.rows[#told.rows + 1] = make(page[i], json.number(page[i + 1]))
      told.looked = told.looked + 1
      range.behind = page[i + 1] .. ':' .. page[i]
    end
    if #page < 2 * PAGE then
      return told
    end
    at = at + PAGE
  end
end

-- The names of a sorted set of one score, in order of the names, behind `after`; those that begin with `prefix`.
function views.names(key, prefix, after, count)
  local first = after and '(' .. after or '[' .. prefix
  local last = prefix ~= '' and '(' .. prefix .. '\255' or '+' -- no account has that byte
  local names = redis.pcall('ZRANGE', key, first, last, 'BYLEX', 'LIMIT', 0, count)
  return names.err and {} or names
end

-- A text that may hold anything, as one that can stand in a cursor, and back.
function views.escape(text)
  return (text:gsub('[^%w@._+-]', function(byte)
    return string.format('%%%02X', byte:byte())
  end))
end

function views.unescape(text)
  return (text:gsub('%%(%x%x)', function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

-- ---- Decisions ----

-- A decision as a row, how its booking stands now, when that was received, and what was asked of Cal.com for it.
local function decision_row(ns, entry, told)
  local b = redis.pcall('HMGET', ns .. 'booking:' .. (told.booking or ''), 'state', 'place', 'received_ms', 'settled_ms',
    'calls')
  return {
    entry = entry, at_ms = views.ms_of(entry), booking = told.booking, account = told.account,
    event_type = told.event_type, decision = told.decision, cost = json.number(told.cost), reason = told.reason,
    by = told.by, state = b[1] or nil, place = b[2] ~= 'none' and b[2] or nil, settled_ms = count_of(b[4]),
  }, count_of(b[3]), b[5] or ''
end

-- How long (ms) these calls took together; see `calls` in booking.
local function calls_took(calls)
  local sum = 0
  for took in ('\n' .. calls):gmatch('\n%d+ (%d+) ') do
    sum = sum + took
  end
  return sum
end

-- The newest decisions; those of them that are settled tell how long that took, {ms, …}: Cal.com's yes or no, and
-- not what was cancelled since. The third answer: how long Cal.com took of that.
function views.newest_decisions(ns, shown, settled)
  local rows, times, calcoms = {}, {}, {}
  for _, entry in ipairs(redis.call('XREVRANGE', ns .. 'decisions', '+', '-', 'COUNT', 2 * settled)) do
    local row, received_ms, calls = decision_row(ns, entry[1], pairs_of(entry[2]))
    if #rows < shown then
      rows[#rows + 1] = row
    end
    if #times < settled and (row.state == 'accepted' or row.state == 'rejected') and row.settled_ms and received_ms then
      times[#times + 1] = math.max(0, row.settled_ms - received_ms)
      calcoms[#calcoms + 1] = calls_took(calls)
    end
  end
  return rows, times, calcoms
end

local DECISIONS_BY = { member = 'account', event_type = 'event_type', outcome = 'decision' }

-- ARGV: cursor, how many rows, then what is wanted, name, value, …: member (an account), event_type, outcome (accept
-- or reject), from_ms, to_ms. The newest first; of a booking that was decided anew each time.
function views.decisions(keys, args)
  local ns = namespace(keys)
  local wanted = views.wanted(args, 3,
    { member = true, event_type = true, outcome = true, from_ms = true, to_ms = true })
  if wanted.outcome and wanted.outcome ~= 'accept' and wanted.outcome ~= 'reject' then
    refuse('outcome is accept or reject, not "' .. wanted.outcome:sub(1, 80) .. '"')
  end
  local range = {
    cursor = args[1], count = views.count(args, 2), from_ms = views.time(wanted.from_ms, 'from_ms'),
    to_ms = views.time(wanted.to_ms, 'to_ms'),
  }
  return json.encode(views.of_stream(ns .. 'decisions', range, function(entry, told)
    for name, field in pairs(DECISIONS_BY) do
      if wanted[name] and wanted[name] ~= told[field] then
        return nil
      end
    end
    return (decision_row(ns, entry, told))
  end))
end

-- ARGV: cursor, how many rows. What operators did, the newest first.
function views.changes(keys, args)
  local ns = namespace(keys)
  local range = { cursor = args[1], count = views.count(args, 2) }
  return json.encode(views.of_stream(ns .. 'changes', range, function(entry, told)
    return {
      entry = entry, at_ms = views.ms_of(entry), by = told.by, what = told.what, about = told.about, note = told.note,
      count = count_of(told.count),
    }
  end))
end

end
