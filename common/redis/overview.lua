-- How everything stands, in numbers: every worker asks every few seconds, and shows them as metrics. All show
-- the same, and nothing here takes longer when more bookings wait. The console's first page shows them as well.

-- For how long (s) the next one of the queue has waited in it. A name that was pushed by hand tells no time.
local function queue_age(ns, now)
  local id = redis.call('LINDEX', ns .. 'queue', -1)
  local since = id and redis.pcall('HMGET', ns .. 'booking:' .. id, 'queued_ms', 'received_ms') or {}
  return math.max(0, now - (tonumber(since[1] or since[2]) or now)) / 1000
end

-- For how long (s) the first of those that are to be tried again has been due.
local function retry_age(ns, now)
  local first = redis.call('ZRANGE', ns .. 'retry', 0, 0, 'WITHSCORES')
  return math.max(0, now - (tonumber(first[2]) or now)) / 1000
end

-- What is counted of decisions: outcome and class. `policy`: for a reason that it did not class; twin: one click made
-- several bookings; hand: the host had accepted it before (a reject is a waived one then); series: a late one, as the
-- rest of its series; observe: nothing came of it.
-- In the order of enum store_decision in common/store.h.
local DECISIONS = {
  'decided:accept:policy', 'decided:accept:hand', 'decided:accept:series', 'decided:accept:observe',
  'decided:reject:credit', 'decided:reject:account', 'decided:reject:blocked', 'decided:reject:expired',
  'decided:reject:policy', 'decided:reject:twin', 'decided:reject:hand', 'decided:reject:series',
  'decided:reject:observe', 'decided:defer:policy',
}

-- ARGV: option, value, … (see gate.load). Goes on with the audit, and takes samples for the graph.
-- Answers {gate (see gate.view), {number, …}, {account, what is wrong with it, …: what is news of that}, {count of
-- DECISIONS as a text or nil, …}}. The numbers are in the order of enum store_overview in common/store.h.
local function watch(keys, args)
  local ns, now = namespace(keys), now_ms()
  local g = gate.load(ns, pairs_of(args), now)
  local news = audit.go_on(ns, now)
  local audited_ms = tonumber(redis.call('HGET', ns .. 'audit', 'done_ms'))
  gates.note(ns, g, now)
  local numbers = {
    redis.call('LLEN', ns .. 'queue'), queue_age(ns, now), queue.is_paused(ns) and 1 or 0,
    redis.call('ZCARD', ns .. 'retry'), retry_age(ns, now), redis.call('ZCARD', ns .. 'dead'),
    redis.call('ZCOUNT', ns .. 'workers', integer(now), '+inf'), redis.call('HLEN', ns .. 'drift'),
    redis.call('HLEN', ns .. 'unbalanced'), audited_ms and (now - audited_ms) / 1000 or -1,
  }
  graph.sample(ns, now, { queue = numbers[1], oldest_s = numbers[2], retry = numbers[4] })
  return { gate.view(g), numbers, news, redis.call('HMGET', ns .. 'stats', unpack(DECISIONS)) }
end

-- ---- For the console ----

local overview

do

local MOST_WORKERS = 100
local SHOWN, SETTLED = 8, 50

local function worker_rows(ns, now)
  local rows = {}
  local listed = redis.call('ZRANGE', ns .. 'workers', 0, MOST_WORKERS - 1, 'WITHSCORES')
  for i = 1, #listed, 2 do
    rows[#rows + 1] = {
      worker = listed[i], in_hand = redis.call('LLEN', ns .. 'active:' .. listed[i]), lease_ms = listed[i + 1] - now,
    }
  end
  return rows
end

-- How long bookings took; nil where nothing was settled yet.
local function pace(times)
  local count = #times
  if count == 0 then
    return nil
  end
  table.sort(times)
  return { count = count, p50_ms = times[math.ceil(count * 0.5)], p95_ms = times[math.ceil(count * 0.95)], max_ms = times[count] }
end

-- Answers JSON: the numbers of `watch`, who works, the gates, the counters, the newest decisions, and of those that
-- are settled how long it was from the webhook on (settle), and of that with Cal.com (calcom).
overview = function(keys)
  local ns, now = namespace(keys), now_ms()
  local stats, paused = {}, hash_get(ns .. 'paused')
  for name, value in pairs(hash_get(ns .. 'stats') or {}) do
    stats[name] = tonumber(value) or 0
  end
  local audited_ms = tonumber(redis.call('HGET', ns .. 'audit', 'done_ms'))
  local decisions, times, calcoms = views.newest_decisions(ns, SHOWN, SETTLED)
  local told = {
    now_ms = now, version = VERSION,
    queue = { length = redis.call('LLEN', ns .. 'queue'), oldest_s = queue_age(ns, now) },
    paused = paused and { by = paused.by, note = paused.note, since_ms = count_of(paused.since_ms) },
    retry = { count = redis.call('ZCARD', ns .. 'retry'), overdue_s = retry_age(ns, now) },
    dead = redis.call('ZCARD', ns .. 'dead'), drift = redis.call('HLEN', ns .. 'drift'),
    unbalanced = redis.call('HLEN', ns .. 'unbalanced'), waived = redis.call('ZCARD', ns .. 'waived'),
    audit_age_s = audited_ms and (now - audited_ms) / 1000 or nil,
    workers = worker_rows(ns, now), workers_count = redis.call('ZCOUNT', ns .. 'workers', integer(now), '+inf'),
    gates = gates.all(ns, now), settle = pace(times), calcom = pace(calcoms), decisions = decisions,
  }
  -- Nobody can tell an empty list from an empty table.
  return json.encode(told):sub(1, -2) .. ',"stats":' .. json.object(stats) .. '}'
end

end
