-- Everything known of one booking, as a story: what the console shows, and scripts/explain prints.

do

local EVENTS = {
  { 'requested', 'requested' }, { 'created', 'accepted in Cal.com (BOOKING_CREATED)' },
  { 'rescheduled', 'rescheduled in Cal.com' }, { 'payment', 'a payment began' }, { 'cancelled', 'cancelled in Cal.com' },
  { 'rejected', 'declined in Cal.com' },
}

local STATES = {
  waiting = 'waits to be decided', accepting = 'is to be confirmed in Cal.com', rejecting = 'is to be declined in Cal.com',
}

-- How many entries of a ledger, and pauses, are read at most; of a ledger from either end of the booking's time.
local LEDGER_READ, PAUSES_READ = 300, 200

-- The name of the booking that is meant, an ID or a uid; or nil, why there is none, and the seats of a slot.
local function find(ns, name)
  for _, id in ipairs({ name, redis.pcall('GET', ns .. 'uid:' .. name) or nil }) do
    if type(id) == 'string' and booking.load(ns, id) then
      return id
    end
  end
  local final = redis.call('HGET', ns .. 'done', name)
  if final then
    return nil, 'booking ' .. name .. ' was ' .. final .. ' long ago; its record has expired'
  end
  local seated = {}
  for field in pairs(hash_get(ns .. 'seats:' .. name) or {}) do
    if not field:match('^gone:') then
      seated[#seated + 1] = field
    end
  end
  table.sort(seated)
  if #seated > 0 then
    return nil, name .. ' is a slot with seats; ask for one of: ' .. table.concat(seated, ' '), seated
  end
  return nil, 'there is no booking ' .. name .. " (an ID like 48213, or Cal.com's uid)"
end

-- ---- What is told beside the record ----

-- The movements of its credit, the oldest first; whether there may be more; and the purses before and after.
local function movements(ns, id, b)
  local list, key, partial, credits = {}, ns .. 'ledger:' .. (b.account or ''), nil, {}
  local since, last = integer(math.min(count_of(b.received_ms) or 0, count_of(b.decided_ms) or math.huge)), nil
  local function read(entries, first, step)
    for i = first, step > 0 and #entries or 1, step do
      local told = pairs_of(entries[i][2])
      if told.booking == id or told.from == id then
        told.entry, told.at_ms = entries[i][1], views.ms_of(entries[i][1])
        list[#list + 1] = told
      end
    end
  end
  local entries = b.account and redis.pcall('XRANGE', key, since, '+', 'COUNT', LEDGER_READ) or {}
  read(entries, 1, 1)
  if #entries == LEDGER_READ then
    last = entries[LEDGER_READ][1]
    entries = redis.call('XREVRANGE', key, '+', '(' .. last, 'COUNT', LEDGER_READ)
    read(entries, #entries, -1)
    partial = #entries == LEDGER_READ or nil
  end
  if list[1] then
    local before = views.backwards(key, '(' .. list[1].entry, '-', 1)[1]
    for name, told in pairs({ before = before and pairs_of(before[2]) or {}, after = list[#list] }) do
      credits[name] = {}
      for _, purse in ipairs(PURSES) do
        credits[name][purse] = json.number(told[purse] or '0')
      end
    end
  elseif not partial and b.account_was then -- decided, and nothing moved: a "no", or it costs nothing
    local was = policy_host.object(b.account_was)
    if was and was.balance then
      credits.before = {}
      for _, purse in ipairs(PURSES) do
        credits.before[purse] = json.number(was[purse] or '0')
      end
      credits.after = credits.before
    end
  end
  return list, partial, credits
end

-- The first `count` - 1 parts of a line, and the rest; those that are missing are ''.
local function split(line, separator, count)
  local parts, at = {}, 1
  for i = 1, count do
    local found = i < count and line:find(separator, at, true)
    parts[i] = line:sub(at, (found or #line + 1) - 1)
    at = found and found + 1 or #line + 1
  end
  return unpack(parts)
end

-- See `calls` in booking.lua.
local function calls(b)
  local list = {}
  for line in (b.calls or ''):gmatch('[^\n]+') do
    local began, took, call, status, class, detail = split(line, ' ', 6)
    list[#list + 1] = { at_ms = count_of(began) or 0, took_ms = count_of(took) or 0, call = call,
      status = count_of(status) or 0, class = class, detail = detail }
  end
  return list
end

-- See `mended` in booking.lua.
local function mendings(b)
  local list = {}
  for line in (b.mended or ''):gmatch('[^\n]+') do
    local ms, what, by, note, why = split(line, '\t', 5)
    list[#list + 1] = { at_ms = count_of(ms) or 0, what = what, by = by, note = note, why = why }
  end
  return list
end

-- Pauses that fell into the booking's life, the newest first; one that is in force has no until_ms.
local function pauses(ns, b)
  local list, until_ms = {}, b.place == 'none' and count_of(b.settled_ms) or MAX_CREDITS
  local function add(paused, over_ms)
    local since_ms = count_of(paused.since_ms)
    if since_ms and since_ms < until_ms then
      list[#list + 1] = { by = paused.by, note = paused.note, since_ms = since_ms, until_ms = over_ms,
        resumed_by = paused.resumed_by }
    end
  end
  local paused = hash_get(ns .. 'paused')
  if paused then
    add(paused)
  end
  local since = integer(count_of(b.received_ms) or 0)
  for _, entry in ipairs(redis.call('XREVRANGE', ns .. 'pauses', '+', since, 'COUNT', PAUSES_READ)) do
    add(pairs_of(entry[2]), views.ms_of(entry[1]))
  end
  return list
end

-- What the decision rested on. `account_was` is a list; an account that was unknown then is told as such.
local function inputs(ns, b)
  local told = {
    circumstances = json.fields_of(b.circumstances), answers = json.fields_of(b.answers),
    metadata = json.fields_of(b.metadata), account_was = json.fields_of(b.account_was),
    account_unknown = b.account_was == 'null' or nil, policy = b.policy ~= '' and b.policy or nil,
    terms_sha = b.terms ~= '' and b.terms or nil,
  }
  told.terms = told.terms_sha and json.fields_of(redis.call('HGET', ns .. 'terms_seen', told.terms_sha) or nil)
  return told
end

-- ---- The story ----

local function short(sha)
  return (sha or ''):sub(1, 12)
end

local function add_decision(add, b)
  local more, was = {}, json.fields_of(b.account_was)
  if b.account_was and b.account_was ~= '' then
    local words = {}
    for i, field in ipairs(was or {}) do
      words[i] = field.name .. '=' .. field.value
    end
    more[1] = 'the account was ' .. (words[1] and table.concat(words, ' ') or 'unknown')
  end
  local terms = short(b.terms) ~= '' and short(b.terms) or 'none'
  local by = (b.ruled_by or '') ~= '' and ' by ' .. b.ruled_by or ''
  more[#more + 1] = (by == '' and 'policy ' .. short(b.policy) .. ', ' or '') .. 'terms ' .. terms
  add(count_of(b.decided_ms), 2, 'decision', 'decided' .. by .. ': ' .. (b.decision or '') .. ', cost ' .. (b.cost or '') .. ': '
    .. (b.reason or ''), more)
end

local function add_credit(add, moved)
  for _, entry in ipairs(moved) do
    add(entry.at_ms, 3, 'credit', 'credit: ' .. (entry.kind or '') .. ' ' .. (entry.amount or '')
      .. (entry.from and ' from ' .. entry.from or '') .. ' (balance ' .. (entry.balance or '') .. ', held '
      .. (entry.held or '') .. ', spent ' .. (entry.spent or '') .. ')')
  end
end

local function add_calls(add, asked)
  for _, call in ipairs(asked) do
    add(call.at_ms, 4, 'call', 'Cal.com was asked: ' .. call.call .. '; answer '
      .. (call.status ~= 0 and integer(call.status) or 'none') .. ' (' .. call.class .. ') after ' .. integer(call.took_ms)
      .. ' ms' .. (call.class ~= 'done' and ': ' .. call.detail or ''))
  end
end

local function add_mendings(add, mended)
  for _, one in ipairs(mended) do
    local more = {}
    if one.note ~= '' then
      more[#more + 1] = 'note: ' .. one.note
    end
    if one.why ~= '' then
      more[#more + 1] = 'it was dead because: ' .. one.why
    end
    add(one.at_ms, 4, 'operator', one.what .. ' by ' .. one.by, more)
  end
end

local function add_pauses(add, paused)
  for _, one in ipairs(paused) do
    add(one.since_ms, 6, 'pause', 'the queue was paused by ' .. (one.by or 'somebody')
      .. ((one.note or '') ~= '' and ': ' .. one.note or ''))
    if one.until_ms then
      add(one.until_ms, 6, 'pause', 'the queue was resumed by ' .. (one.resumed_by or 'somebody'))
    end
  end
end

-- In order of time; what happened in the same millisecond, in the order in which such things do.
local function lines_of(b, told)
  local lines = {}
  local function add(ms, order, kind, text, more)
    lines[#lines + 1] = { at_ms = ms, order = order * 10000 + #lines, kind = kind, text = text, more = more or {} }
  end
  for _, event in ipairs(EVENTS) do
    local ms = count_of(b[event[1] .. '_ms'])
    if ms then
      add(ms, 0, 'event', 'event: ' .. event[2])
    end
  end
  if count_of(b.decided_ms) then
    add_decision(add, b)
  end
  add_credit(add, told.movements)
  add_calls(add, told.calls)
  add_mendings(add, told.mended)
  add_pauses(add, told.pauses)
  if count_of(b.settled_ms) then
    add(count_of(b.settled_ms), 5, 'settled', 'settled: ' .. (b.state or '') .. '; ' .. (b.reason or ''))
  end
  table.sort(lines, function(one, other)
    return one.at_ms < other.at_ms or (one.at_ms == other.at_ms and one.order < other.order)
  end)
  for _, line in ipairs(lines) do
    line.order = nil
  end
  return lines
end

-- How it stands, on one line.
local function now_text(b)
  local text = STATES[b.state] or b.state or ''
  for _, name in ipairs({ 'held', 'charged' }) do
    if (b[name] or '0') ~= '0' then
      text = text .. ', ' .. name .. ' ' .. b[name]
    end
  end
  local place = b.place or 'none'
  return text .. (place ~= 'none' and place ~= 'active' and '; listed under ' .. place or '')
end

-- ARGV: a booking's ID, or Cal.com's uid. Answers JSON; `record` is the hash as it is, of unknown ones `missing`, a text
-- and the names of a slot's seats.
function views.story(keys, args)
  local ns = namespace(keys)
  local id, text, seated = find(ns, args[1] or '')
  if not id then
    return json.encode({ missing = true, text = text, seats = seated })
  end
  local b = hash_get(ns .. 'booking:' .. id)
  local moved, partial, credits = movements(ns, id, b)
  local told = { id = id, record = b, movements = moved, movements_partial = partial, calls = calls(b),
    mended = mendings(b), pauses = pauses(ns, b), now_text = now_text(b) }
  told.lines = lines_of(b, told)
  told.can = views.can(booking.load(ns, id), now_ms())
  return json.encode(told):sub(1, -2) .. ',"credit":' .. json.object(credits) .. ',"inputs":'
    .. json.object(inputs(ns, b)) .. '}'
end

end
