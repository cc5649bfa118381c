-- How everything stands, in numbers: every worker asks every few seconds, and shows them as metrics. All show
-- the same, and nothing here takes longer when more bookings wait.

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

-- ARGV: option, value, … (see gate.load). Goes on with the audit.
-- Answers {gate (see gate.view), {number, …}, {account, what is wrong with it, …: what is news of that}, {count of
-- DECISIONS as a text or nil, …}}. The numbers are in the order of enum store_overview in common/store.h.
local function watch(keys, args)
  local ns, now = namespace(keys), now_ms()
  local g = gate.load(ns, pairs_of(args), now)
  local news = audit.go_on(ns, now)
  local audited_ms = tonumber(redis.call('HGET', ns .. 'audit', 'done_ms'))
  local numbers = {
    redis.call('LLEN', ns .. 'queue'), queue_age(ns, now), queue.is_paused(ns) and 1 or 0,
    redis.call('ZCARD', ns .. 'retry'), retry_age(ns, now), redis.call('ZCARD', ns .. 'dead'),
    redis.call('ZCOUNT', ns .. 'workers', integer(now), '+inf'), redis.call('HLEN', ns .. 'drift'),
    redis.call('HLEN', ns .. 'unbalanced'), audited_ms and (now - audited_ms) / 1000 or -1,
  }
  return { gate.view(g), numbers, news, redis.call('HMGET', ns .. 'stats', unpack(DECISIONS)) }
end
