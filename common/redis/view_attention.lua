-- What needs a person, as the console lists it: given up bookings (dead), those that are tried again (retry), what
-- Cal.com has otherwise (drift), what a host let through against our "no" (waived), and accounts that do not agree
-- with their ledgers (unbalanced).

do

local EXPIRED = 'its record has expired'

-- What can be done about a booking by hand.
function views.can(b, now)
  local is_dead = b.place == 'dead'
  return {
    accept = is_dead and not rule.refusal(b, true, now), reject = is_dead and not rule.refusal(b, false, now),
    requeue = is_dead, discard = is_dead,
  }
end

-- A booking's row, or nil when it is not wanted. `told`: why it is listed, where the list says so itself.
local function booking_row(ns, id, wanted, told, now)
  local have = redis.pcall('HMGET', ns .. 'booking:' .. id, 'last_error', 'reason', 'account', 'event_type', 'state')
  local why = told.why or (not have[5] and EXPIRED) or have[told.why_field]
  if (wanted.account and wanted.account ~= have[3]) or (wanted.event_type and wanted.event_type ~= have[4])
    or (wanted.text and not (why or ''):lower():find(wanted.text:lower(), 1, true))
  then
    return nil
  end
  local row, b = { booking = id, at_ms = told.at_ms, why = why or '' }, booking.load(ns, id)
  if not b then
    row.can = { accept = false, reject = false, requeue = false, discard = told.is_dead or false }
    return row
  end
  row.state, row.decision, row.place, row.attempts = b.state, b.decision, b.place ~= 'none' and b.place or nil, b.attempts
  row.account, row.event_type, row.start_ms = b.account, b.event_type, b.start and b.start * 1000
  row.cost, row.held = b.cost, b.held
  row.can = views.can(b, now)
  return row
end

local function account_row(account, wanted, why)
  local is_wanted = (not wanted.account or wanted.account == account) and not wanted.event_type
    and (not wanted.text or why:lower():find(wanted.text:lower(), 1, true))
  return is_wanted and { account = account, why = why, can = { accept = false, reject = false, requeue = false,
    discard = false } } or nil
end

-- A hash that has few fields (see note_wrong), in order of their names; the cursor is the last of them.
local function of_hash(key, range, make)
  local names, map = {}, hash_get(key) or {}
  for name in pairs(map) do
    names[#names + 1] = name
  end
  table.sort(names)
  local after = views.unescape(range.cursor)
  local told = { rows = {}, looked = 0 }
  for _, name in ipairs(names) do
    if name > after then
      if #told.rows == range.count then
        told.next = views.escape(range.behind)
        break
      end
      told.rows[#told.rows + 1] = make(name, map[name])
      told.looked = told.looked + 1
      range.behind = name
    end
  end
  told.total = #names
  return told
end

local function of_list(ns, place, range, make)
  local told = views.of_times(ns .. place, range, make)
  told.total = redis.call('ZCARD', ns .. place)
  return told
end

local PLACES = {}

function PLACES.dead(ns, range, wanted, now)
  return of_list(ns, 'dead', range, function(id, ms)
    return booking_row(ns, id, wanted, { at_ms = ms, why_field = 1, is_dead = true }, now)
  end)
end

-- at_ms: when it is due.
function PLACES.retry(ns, range, wanted, now)
  return of_list(ns, 'retry', range, function(id, ms)
    return booking_row(ns, id, wanted, { at_ms = ms, why_field = 1 }, now)
  end)
end

function PLACES.waived(ns, range, wanted, now)
  return of_list(ns, 'waived', range, function(id, ms)
    return booking_row(ns, id, wanted, { at_ms = ms, why_field = 2 }, now)
  end)
end

function PLACES.drift(ns, range, wanted, now)
  return of_hash(ns .. 'drift', range, function(id, text)
    return booking_row(ns, id, wanted, { why = text }, now)
  end)
end

function PLACES.unbalanced(ns, range, wanted)
  return of_hash(ns .. 'unbalanced', range, function(account, text)
    return account_row(account, wanted, text)
  end)
end

-- ARGV: place (dead, retry, drift, waived or unbalanced), cursor, how many rows, then what is wanted, name, value, …: text (in
-- `why`, in any case), account, event_type. What came last is first. Answers also `total`: how many are listed there.
function views.attention(keys, args)
  local ns, place = namespace(keys), PLACES[args[1]]
  if not place then
    refuse('the places are dead, retry, drift, waived and unbalanced, not "' .. tostring(args[1]):sub(1, 80) .. '"')
  end
  local range = { cursor = args[2] or '', count = views.count(args, 3) }
  local wanted = views.wanted(args, 4, { text = true, account = true, event_type = true })
  return json.encode(place(ns, range, wanted, now_ms()))
end

end
