-- The gate to Cal.com: how many calls may go out, and whether any may. There is one for each API key,
-- shared by all workers; its name is the first 16 hex digits of the key's SHA-256, never the key.
--
-- HASH {ns}:gate:<name>
--   cause            why the breaker is open; absent or '': it is closed
--     failures       BREAKER_FAILURES calls in a row failed (no connection, a timeout, 5xx)
--     credentials    the key is refused
--     url            Cal.com has no such route: CALCOM_API_URL or CALCOM_API_VERSION is wrong
--     rights         one booking after the other is refused though the key is known
--   note             what Cal.com said then
--   opened_ms        since when
--   probe_ms         when the next probe may go out
--   probe            who is at it (the token of a take, or the worker that asks for /me) and
--   probe_until_ms   how long that is waited for
--   trips            probes that failed in a row, and the opening
--   failures         calls that failed in a row
--   refusals         bookings that were refused one after the other
--   throttled        how often Cal.com answered 429; nobody calls before
--   throttled_until_ms
--   api_left         how many calls Cal.com said are left, less what was reserved since; counts until
--   api_until_ms
--   reserved         calls reserved so far; names the next
-- ZSET {ns}:gate:<name>:calls   reservation → when it was made (ms); `+<id>` is kept for a booking in hand
-- ZSET {ns}:gate:<name>:flight  call on its way → when it is over at the latest; see GUARD_CALLS
-- ZSET {ns}:gate:<name>:hits    429 → when
-- LIST {ns}:outages             `<from> <last seen> <gate>`: when a breaker was open (ms), the newest first
--
-- Why no more than `limit` calls reach Cal.com in any 60 s: a call is written at most 2 s after its
-- reservation (the worker checks it just before the first byte and reserves anew when it is older) and
-- is on its way for at most 1 s. Of limit + 1 calls the last was reserved when the first was out of the
-- window, so their reservations are more than WINDOW_MS = 63 s apart, and their arrivals more than 60 s.

local gate = {}

-- Lua allows 200 local names at a time, over all parts: what only this one needs ends with it.
do

local ARRIVAL_MS = 3000
local WINDOW_MS = 60000 + ARRIVAL_MS

-- A booking that is not fresh is looked at and then acted on. It is handed out only if both calls are
-- left: else all that is left would go into looks, again and again.
local CALLS_PER_JOB = 2

-- API v1 locks the account at the 5th call over its limit within an hour (Cal.com: autoLock.ts), and
-- each call on its way when the first is refused can be one more. So there hits within the hour and
-- calls in flight together never exceed this: there can be no 4th.
local GUARD_CALLS = 3
local GUARD_MS = 3660000
local GUARD_WAIT_MS = 200 -- until a call in flight has probably ended

local BREAKER_FAILURES = 5
local BREAKER_REFUSALS = 3
local BREAKER_BASE_MS, BREAKER_CAP_MS = 5000, 60000
local BREAKER_FIXED_MS = 30000 -- where a person has to do something

local THROTTLE_MS, THROTTLE_MIN_MS, THROTTLE_MAX_MS = 60000, 1000, 3600000

local SHARE_WAIT_MS = 1000 -- until the sweep asks again

local GATE_KEPT_MS = 86400000
local OUTAGES_KEPT = 1000

-- The gate that a program's options name, or nil.
--   gate     its name           limit   calls per minute; 0: as many as you like
--   guard    yes: hits count (v1)       call_ms  how long a call takes at most
function gate.load(ns, options, now)
  if not options.gate then
    return nil
  elseif not options.gate:match('^%x+$') or #options.gate ~= 16 then
    error({ err = 'ERR tollgate: a gate is named by 16 hex digits' })
  end
  local key = ns .. 'gate:' .. options.gate
  local g = hash_get(key) or {}
  for field, value in pairs(g) do
    g[field] = tonumber(value:match('^%d+$')) or value
  end
  g.ns, g.key, g.name, g.now = ns, key, options.gate, now
  g.limit = tonumber(options.limit) or 0
  g.guarded = options.guard == 'yes' and g.limit > 0
  g.call_ms = tonumber(options.call_ms) or 10000
  g.cause = g.cause or ''
  g.changes = {}
  return g
end

local function set(g, field, value)
  g[field] = value
  g.changes[field] = value
end

function gate.save(g)
  local flat = {}
  for field, value in pairs(g.changes) do
    flat[#flat + 1] = field
    flat[#flat + 1] = type(value) == 'number' and integer(value) or value
  end
  if #flat > 0 then
    g.changes = {}
    redis.call('HSET', g.key, unpack(flat))
    redis.call('PEXPIRE', g.key, GATE_KEPT_MS)
  end
end

-- ---- How many calls are left ----

local function calls_used(g)
  return redis.call('ZCOUNT', g.key .. ':calls', '(' .. integer(g.now - WINDOW_MS), '+inf')
end

-- Each of these answers how many pieces of work of so many calls are left, and when there is none why
-- and for how long (ms).
local LEFT = {}

function LEFT.budget(g, calls)
  if g.limit == 0 then
    return math.huge
  end
  local used = calls_used(g)
  local pieces = math.max(0, math.floor((g.limit - used) / calls))
  if pieces > 0 then
    return pieces
  end
  -- When as many as are missing have left the window.
  local last = redis.call('ZRANGE', g.key .. ':calls', '(' .. integer(g.now - WINDOW_MS), '+inf', 'BYSCORE',
    'LIMIT', math.max(0, used + calls - g.limit - 1), 1, 'WITHSCORES')
  return 0, 'budget', math.max(1, (tonumber(last[2]) or g.now) + WINDOW_MS - g.now)
end

-- Somebody else uses the key as well.
function LEFT.api(g, calls)
  if g.limit == 0 or (g.api_until_ms or 0) <= g.now then
    return math.huge
  end
  return math.max(0, math.floor(g.api_left / calls)), 'budget', g.api_until_ms - g.now
end

-- `own`: the name of the call that is asked for; it may still be listed.
function LEFT.guard(g, _, own)
  if not g.guarded then
    return math.huge
  end
  local since = '(' .. integer(g.now - GUARD_MS)
  local hits = redis.call('ZCOUNT', g.key .. ':hits', since, '+inf')
  local flying = redis.call('ZCOUNT', g.key .. ':flight', '(' .. integer(g.now), '+inf')
  if own and (tonumber(redis.call('ZSCORE', g.key .. ':flight', own)) or 0) > g.now then
    flying = flying - 1
  end
  if hits < GUARD_CALLS then
    return math.max(0, GUARD_CALLS - hits - flying), 'in_flight', GUARD_WAIT_MS
  end
  local oldest = redis.call('ZRANGE', g.key .. ':hits', since, '+inf', 'BYSCORE',
    'LIMIT', hits - GUARD_CALLS, 1, 'WITHSCORES')
  return 0, 'lock', oldest[2] + GUARD_MS - g.now
end

local function left(g, calls, own, is_prepaid)
  local wait_ms = (g.throttled_until_ms or 0) - g.now
  if wait_ms > 0 then
    return 0, 'throttled', wait_ms
  end
  local pieces, why, ms = LEFT.guard(g, calls, own)
  for _, name in ipairs(is_prepaid and {} or { 'budget', 'api' }) do
    local count, because, for_ms = LEFT[name](g, calls)
    if count < pieces then
      pieces, why, ms = count, because, for_ms
    end
  end
  return pieces, why, ms
end

-- Counts a call under this name.
local function count_call(g, name)
  redis.call('ZADD', g.key .. ':calls', integer(g.now), name)
  if (g.api_until_ms or 0) > g.now then
    set(g, 'api_left', math.max(0, g.api_left - 1))
  end
end

-- Writes down that a call goes out now. `own` names it where calls in flight count.
local function reserve(g, own)
  if g.limit > 0 then
    set(g, 'reserved', (g.reserved or 0) + 1)
    count_call(g, integer(g.reserved))
  end
  if g.guarded then
    redis.call('ZADD', g.key .. ':flight', integer(g.now + g.call_ms), own)
    redis.call('PEXPIRE', g.key .. ':flight', GATE_KEPT_MS)
  end
end

local function forget_old_calls(g)
  if g.limit > 0 then
    redis.call('ZREMRANGEBYSCORE', g.key .. ':calls', '-inf', integer(g.now - WINDOW_MS))
    redis.call('PEXPIRE', g.key .. ':calls', WINDOW_MS)
  end
end

-- ---- The breaker ----

-- Why the breaker keeps everybody but `token` from calling, and for how long (ms): 0 when a probe may
-- go out. Nil when it does not.
local function shut(g, token)
  if g.cause == '' or (token and g.probe == token) then
    return nil
  end
  return g.cause, math.max(0, (g.probe_ms or 0) - g.now, (g.probe_until_ms or 0) - g.now)
end

-- An outage lasts as long as somebody sees that it does: the gate of a key that nobody uses any more
-- is not open for ever.
local function note_outage(g)
  local list = g.ns .. 'outages'
  local began, name = (redis.call('LINDEX', list, 0) or ''):match('^(%d+) %d+ (%x+)$')
  local is_same = name == g.name and tonumber(began) >= (g.opened_ms or 0)
  local entry = integer(is_same and tonumber(began) or g.now) .. ' ' .. integer(g.now) .. ' ' .. g.name
  if is_same then
    redis.call('LSET', list, 0, entry)
  else
    redis.call('LPUSH', list, entry)
    redis.call('LTRIM', list, 0, OUTAGES_KEPT - 1)
  end
end

local function probe_over(g)
  set(g, 'probe', '')
  set(g, 'probe_until_ms', 0)
end

-- Opens the breaker, or keeps it open after a probe.
local function open(g, cause, delay_ms, note)
  if g.cause == '' then
    set(g, 'opened_ms', g.now)
  end
  set(g, 'cause', cause)
  set(g, 'note', note or '')
  set(g, 'probe_ms', g.now + delay_ms)
  probe_over(g)
  note_outage(g)
end

local function close(g)
  note_outage(g)
  set(g, 'cause', '')
  set(g, 'note', '')
  set(g, 'trips', 0)
  set(g, 'failures', 0)
  set(g, 'refusals', 0)
  probe_over(g)
end

-- Twice as long after each probe that failed, and up to a quarter more, so that several gates to one
-- Cal.com do not come back together.
local function next_delay(g)
  local delay_ms = math.min(BREAKER_CAP_MS, BREAKER_BASE_MS * 2 ^ math.min(10, g.trips - 1))
  return math.floor(delay_ms * (1 + g.now % 251 / 1000))
end

-- How much of the time since `since_ms` a breaker was open.
function gate.outage_ms(ns, since_ms, now)
  local sum = 0
  for _, entry in ipairs(redis.call('LRANGE', ns .. 'outages', 0, -1)) do
    local from, to = entry:match('^(%d+) (%d+) ')
    sum = sum + math.max(0, math.min(tonumber(to), now) - math.max(tonumber(from), since_ms))
  end
  return sum
end

-- Nobody gains from asking Cal.com about a booking that began, unless it is young, or a person wants it. Time in
-- which nobody could be asked does not count.
function gate.is_hopeless(ns, b, now)
  local since_ms = math.max(b.received_ms, b.requeued_ms or 0)
  local until_ms = math.max((b.start or 0) * 1000, since_ms + 86400000)
  return now >= until_ms and now >= until_ms + gate.outage_ms(ns, since_ms, now)
end

-- ---- A take ----

local function hold(g, why, ms)
  g.hold, g.hold_ms = why, ms
  return 0
end

-- How many bookings a take may hand out. Writes nothing.
function gate.admit(g, want, token)
  if not g then
    return want
  end
  local cause, wait_ms = shut(g)
  if cause and wait_ms > 0 then
    return hold(g, cause, wait_ms)
  end
  local pieces, why, ms = left(g, cause == 'credentials' and 1 or CALLS_PER_JOB)
  if pieces < 1 then
    return hold(g, why, ms)
  elseif cause == 'credentials' then
    g.asks_me = true
    return hold(g, 'probe', g.call_ms)
  elseif cause then
    g.probes = token
    return math.min(want, 1)
  end
  return math.min(want, pieces)
end

local function lease_probe(g, who)
  set(g, 'probe', who)
  set(g, 'probe_until_ms', g.now + g.call_ms)
end

-- What the take handed out, {id, token, is_one_call} each, is reserved; and whether any more can be.
function gate.hand_out(g, worker, handed)
  if not g then
    return
  end
  forget_old_calls(g)
  if g.asks_me then
    lease_probe(g, worker)
    reserve(g, worker .. ' me')
  elseif g.probes and #handed > 0 then
    lease_probe(g, g.probes)
  end
  for _, job in ipairs(handed) do
    reserve(g, job.token .. ' ' .. job.id)
    if g.limit > 0 and not job.is_one_call then
      count_call(g, '+' .. job.id)
    end
  end
  if g.cause ~= '' then
    note_outage(g)
  end
  if not g.hold then
    local cause, wait_ms = shut(g)
    if cause and wait_ms > 0 then
      hold(g, cause, wait_ms)
    elseif #handed > 0 then
      local pieces, why, ms = left(g, CALLS_PER_JOB)
      if pieces < 1 then
        hold(g, why, ms)
      end
    end
  end
  gate.save(g)
end

-- What a worker is told, see store.h, struct store_gate.
function gate.view(g)
  if not g then
    return {}
  end
  local used = g.limit > 0 and calls_used(g) or 0
  local free = g.limit > 0 and math.max(0, g.limit - used) or -1
  if free > 0 and (g.api_until_ms or 0) > g.now then
    free = math.min(free, g.api_left)
  end
  local is_troubled = g.cause ~= '' or (g.failures or 0) > 0 or (g.refusals or 0) > 0
  return { g.cause, g.note and tostring(g.note) or '', is_troubled and '1' or '0', integer(used), integer(free),
    integer(g.throttled or 0) }
end

-- ---- One call ----

-- Reserves one call of a booking in hand, or of a worker itself (`id` me). Answers nil when it may go
-- out, else for how long (ms) it may not, and why.
function gate.call(g, token, id)
  if not g then
    return nil
  end
  local cause, wait_ms = shut(g, token)
  if cause then
    return math.max(wait_ms, 500), cause
  end
  local own, kept = token .. ' ' .. id, '+' .. id
  local is_prepaid = g.limit > 0
    and (tonumber(redis.call('ZSCORE', g.key .. ':calls', kept)) or 0) > g.now - WINDOW_MS
  local pieces, why, ms = left(g, 1, own, is_prepaid)
  if pieces < 1 then
    return ms, why
  end
  forget_old_calls(g)
  if is_prepaid then
    redis.call('ZREM', g.key .. ':calls', kept)
    if (g.api_until_ms or 0) > g.now then
      set(g, 'api_left', g.api_left + 1)
    end
  end
  reserve(g, own)
  gate.save(g)
  return nil
end

-- ---- The sweep's share ----

-- How many calls the sweep may make now, and when none why and for how long (ms) not. Without a limit as many as
-- it likes, for where many book there is always somebody who waits. Else none while bookings wait, and then at
-- most a quarter of the window, of what they leave, and a tenth stays free for them.
-- An outage ends with a probe, and bookings may not come for hours: a call of the sweep is one (`probes`).
function gate.share_left(g, ns, now, probes)
  if g and g.limit == 0 and g.cause == '' then
    return math.huge
  elseif redis.call('LLEN', ns .. 'queue') > 0 or redis.call('ZCOUNT', ns .. 'retry', '-inf', integer(now)) > 0 then
    return 0, 'bookings', SHARE_WAIT_MS
  elseif not g then
    return math.huge
  end
  local cause, wait_ms = shut(g)
  if cause and not (probes and cause == 'failures' and wait_ms == 0) then
    return 0, cause, math.max(SHARE_WAIT_MS, wait_ms)
  end
  local pieces, why, ms = left(g, 1)
  if g.limit > 0 and pieces > 0 then
    local since = '(' .. integer(now - WINDOW_MS)
    local share = math.max(1, math.floor(g.limit / 4)) - redis.call('ZCOUNT', g.key .. ':share', since, '+inf')
    local free = g.limit - calls_used(g) - math.ceil(g.limit / 10)
    pieces, why, ms = math.max(0, math.min(pieces, share, free)), 'budget', SHARE_WAIT_MS
  end
  return pieces, why, math.max(SHARE_WAIT_MS, ms or 0)
end

function gate.count_share(g, name)
  if g and g.limit > 0 then
    redis.call('ZREMRANGEBYSCORE', g.key .. ':share', '-inf', integer(g.now - WINDOW_MS))
    redis.call('ZADD', g.key .. ':share', integer(g.now), name)
    redis.call('PEXPIRE', g.key .. ':share', WINDOW_MS)
  end
end

-- Reserves a call of the sweep. Answers nil when it may go out, else for how long (ms) it may not, and why.
function gate.call_of_sweep(g, ns, worker, now)
  local pieces, why, ms = gate.share_left(g, ns, now, true)
  if pieces < 1 then
    return ms, why
  elseif g and g.cause ~= '' then
    lease_probe(g, worker)
  end
  local wait_ms, because = gate.call(g, worker, 'sweep')
  if not wait_ms then
    gate.count_share(g, 'call ' .. integer(g and g.reserved or 0))
  end
  return wait_ms, because
end

-- ARGV: worker, then option, value, … (see gate.load). Reserves a call of the worker's own, to /me.
-- Answers {'go'} or {'hold', ms, why}.
function gate.reserve_me(keys, args)
  local g = gate.load(namespace(keys), pairs_of(args, 2), now_ms())
  local wait_ms, why = gate.call(g, args[1], 'me')
  return wait_ms and { 'hold', integer(wait_ms), why } or { 'go' }
end

-- ---- What answers tell ----

-- o: the options of tollgate_report.
local HEARD = {}

function HEARD.success(g, o)
  set(g, 'failures', 0)
  if o.act == 'yes' then
    set(g, 'refusals', 0)
  end
  if g.cause == 'failures' or (g.cause ~= '' and o.act == 'yes') then
    close(g)
  end
end

-- Something that tells nothing yet.
function HEARD.answered()
end

-- /me answered 200.
function HEARD.me(g)
  set(g, 'failures', 0)
  if g.cause == 'credentials' then
    close(g)
  end
end

function HEARD.failure(g, o)
  set(g, 'failures', (g.failures or 0) + 1)
  local is_probe = o.token and g.probe == o.token
  if g.cause == '' and g.failures >= BREAKER_FAILURES then
    set(g, 'trips', 1)
    open(g, 'failures', next_delay(g), o.note)
  elseif g.cause == 'failures' and is_probe then
    set(g, 'trips', (g.trips or 0) + 1)
    open(g, 'failures', next_delay(g), o.note)
  elseif is_probe then
    open(g, g.cause, BREAKER_FIXED_MS, g.note)
  end
end

function HEARD.throttled(g, o)
  local wait_ms = math.max(THROTTLE_MIN_MS, math.min(tonumber(o.wait_ms) or THROTTLE_MS, THROTTLE_MAX_MS))
  set(g, 'throttled', (g.throttled or 0) + 1)
  set(g, 'throttled_until_ms', math.max(g.throttled_until_ms or 0, g.now + wait_ms))
  set(g, 'failures', 0) -- it answers
  if g.guarded then
    redis.call('ZREMRANGEBYSCORE', g.key .. ':hits', '-inf', integer(g.now - GUARD_MS))
    redis.call('ZADD', g.key .. ':hits', integer(g.now), integer(g.throttled))
    redis.call('PEXPIRE', g.key .. ':hits', GUARD_MS)
  end
  if o.token and g.probe == o.token then
    probe_over(g)
  end
end

function HEARD.credentials(g, o)
  open(g, 'credentials', BREAKER_FIXED_MS, o.note)
end

function HEARD.url(g, o)
  open(g, 'url', BREAKER_FIXED_MS, o.note)
end

-- One booking is refused though /me says that the key is right. When it happens to one after the
-- other, the key lacks a right.
function HEARD.refused(g, o)
  set(g, 'refusals', (g.refusals or 0) + 1)
  if g.refusals >= BREAKER_REFUSALS then
    open(g, 'rights', BREAKER_FIXED_MS, o.note)
  end
end

-- Cal.com says that less is left than our own window believes. What was reserved within ARRIVAL_MS may
-- not have reached it when it counted.
local function heed_limit(g, remaining, reset_ms)
  local flying = redis.call('ZCOUNT', g.key .. ':calls', '(' .. integer(g.now - ARRIVAL_MS), '+inf')
  local api_left = math.max(0, remaining - flying)
  local is_known = (g.api_until_ms or 0) > g.now
  if remaining < g.limit - calls_used(g) and (not is_known or api_left < g.api_left) then
    set(g, 'api_left', api_left)
    set(g, 'api_until_ms', g.now + math.min(reset_ms or THROTTLE_MS, THROTTLE_MAX_MS))
  end
end

-- ARGV: what was heard (a name in HEARD), then option, value, …: those of gate.load, and
--   token      of the booking's take, or the worker's name
--   id         the booking, or me: that call has ended
--   act        yes: it changed a booking
--   note       what Cal.com said
--   wait_ms    429: for how long nobody may call
--   remaining, reset_ms   calls that are left, and until when
-- Answers what a worker is told (gate.view), then how long (ms) the breaker or a 429 holds everybody.
function gate.report(keys, args)
  local g = gate.load(namespace(keys), pairs_of(args, 2), now_ms())
  local o = pairs_of(args, 2)
  if not g or not HEARD[args[1]] then
    error({ err = 'ERR tollgate: a report needs a gate, and what was heard' })
  end
  if g.guarded and o.id then
    redis.call('ZREM', g.key .. ':flight', (o.token or '') .. ' ' .. o.id)
  end
  HEARD[args[1]](g, o)
  if g.limit > 0 and tonumber(o.remaining) then
    heed_limit(g, tonumber(o.remaining), tonumber(o.reset_ms))
  end
  gate.save(g)
  local _, shut_ms = shut(g)
  local answer = gate.view(g)
  answer[#answer + 1] = integer(math.max(0, shut_ms or 0, (g.throttled_until_ms or 0) - g.now))
  return answer
end

end
