-- Where a booking's name is. Each name is in one place at most, and the record's `place` says which:
--   queue   LIST {ns}:queue: waits; pushed left, taken right
--   active  LIST {ns}:active:<worker>: in one worker's hands
--   retry   ZSET {ns}:retry: waits for its due time
--   dead    ZSET {ns}:dead: we gave up; a person decides
--   none    nothing to do
-- These functions set `place` in the loaded record; the caller saves it.

local queue = {}

-- Takes a name off the list that its record says it is on (but for the queue itself).
function queue.leave(ns, id, b)
  if b.place == 'active' then
    redis.call('LREM', ns .. 'active:' .. b.token:match('^(.*)/'), 1, id)
  elseif b.place == 'retry' or b.place == 'dead' then
    redis.call('ZREM', ns .. b.place, id)
  end
end

-- Puts a name that is nowhere into the queue: last in line (LPUSH), or next (RPUSH).
function queue.push(ns, id, b, command)
  redis.call(command, ns .. 'queue', id)
  booking.set(b, 'place', 'queue')
  booking.set(b, 'queued_ms', now_ms())
end

-- Makes sure that somebody will look at the booking (again).
function queue.add(ns, id, b)
  if b.place == 'active' then
    booking.set(b, 'again', '1')
    return
  elseif (b.check or '') ~= '' then
    booking.set(b, 'check', '') -- to be looked at, and now there is more to do
  end
  if b.place == 'queue' then
    return
  elseif b.place == 'dead' then
    booking.set(b, 'attempts', 0)
    booking.survived(b)
  end
  queue.leave(ns, id, b)
  queue.push(ns, id, b, 'LPUSH')
end

-- How much later (ms) Cal.com may tell of a reschedule than it cancelled the old booking.
local RESCHEDULING_MS = 1000

-- The booking is over because it was rescheduled (`heir`, nil where that is unknown here). Our confirm brings back to
-- life what Cal.com had cancelled just before: then it is looked at, and cancelled there.
function queue.add_crossed(ns, id, b, heir)
  if heir and b.state == 'cancelled' and b.decision == 'accept' and not b.seat and b.created_ms
    and b.created_ms > (heir.first_ms or math.huge) - RESCHEDULING_MS
  then
    booking.set(b, 'revived', '1')
    queue.add(ns, id, b)
  end
end

-- Takes a booking out of a worker's hands. Named again meanwhile, it goes back into the queue
-- whatever the worker wanted. Answers the place it went to.
function queue.put_down(ns, id, b, place, score_ms)
  queue.leave(ns, id, b)
  if b.again == '1' then
    booking.set(b, 'again', '0')
    place = booking.needs_attention(b) and 'queue' or place
  end
  if place == 'queue' then
    queue.push(ns, id, b, 'LPUSH')
    return place
  elseif place == 'retry' or place == 'dead' then
    redis.call('ZADD', ns .. place, integer(score_ms), id)
  end
  booking.set(b, 'place', place)
  return place
end

-- Names a booking that waits in `retry` for another one. Its record is not loaded: a take may have it.
function queue.wake(ns, id)
  if redis.call('ZREM', ns .. 'retry', id) == 1 then
    redis.call('HSET', ns .. 'booking:' .. id, 'place', 'queue', 'queued_ms', integer(now_ms()))
    redis.call('LPUSH', ns .. 'queue', id)
  end
end

-- Hands a booking back undone: it is the next to be taken, and whoever takes it sees all the news.
function queue.give_back(ns, id, b)
  queue.leave(ns, id, b)
  queue.push(ns, id, b, 'RPUSH')
  booking.set(b, 'again', '0')
end

-- By a person's word nothing is handed out and nothing decided, see operate.
function queue.is_paused(ns)
  return redis.call('EXISTS', ns .. 'paused') == 1
end

-- By when a name was heard of; of names of one millisecond Cal.com made the one with the smaller number first.
function queue.is_older(ns, id, other)
  local function received(name)
    local ms = redis.pcall('HGET', ns .. 'booking:' .. name, 'received_ms')
    return type(ms) == 'string' and tonumber(ms) or math.huge -- pushed by hand, and nothing to decide
  end
  local mine, theirs = received(id), received(other)
  if mine ~= theirs then
    return mine < theirs
  end
  return #id < #other or (#id == #other and id < other)
end

-- Puts a name back that a blocking pop took off the queue. It was the next one then, so it goes before all but
-- the older ones that other workers put back since.
function queue.put_back(ns, id)
  local list, older = ns .. 'queue', 0
  local next_ones = redis.call('LRANGE', list, -PUT_BACK_MOST, -1)
  while older < #next_ones and queue.is_older(ns, next_ones[#next_ones - older], id) do
    older = older + 1
  end
  if older > 0 then
    redis.call('LTRIM', list, 0, -older - 1)
  end
  redis.call('RPUSH', list, id)
  for i = #next_ones - older + 1, #next_ones do
    redis.call('RPUSH', list, next_ones[i])
  end
end

-- Lists a booking for a person, unless it was named again meanwhile. Answers the place it went to.
function queue.park(ns, id, b, now, message, counts)
  booking.set(b, 'last_error', message)
  local place = queue.put_down(ns, id, b, 'dead', now)
  if place == 'dead' then
    stats_add(counts, 'dead')
  end
  return place
end
