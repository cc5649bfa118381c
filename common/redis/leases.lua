-- Workers: their leases, and what becomes of the names in the list of one that leaves, dies or holds a
-- booking for too long.
--   ZSET {ns}:workers          worker → when its lease ends (ms). Only leave and reap remove one
--   HASH {ns}:worker:<worker>  its newest take (see take); gone: it was reaped, or never seen
--   HASH {ns}:suspects         worker → `<epoch> <ms>`: who saw first that its lease is over, and when
--   STRING {ns}:sweeping       the epoch of the one that sweeps; it expires
-- An epoch is one unbroken connection of one worker to Redis: `<worker>/<connection number>`.

local leases = {
  -- A suspect is dead when one epoch saw it a second time after so long (ms). A live worker renews at
  -- least once in between (worker/janitor.c), so a clock that jumps kills nobody.
  APART_MS = 2500,
  -- Who sweeps goes on sweeping; another one takes over when it was silent for so long (ms).
  SILENT_MS = 5000,
  -- After an outage all leases are over. The sweeper waits for one lease, and at least so long (ms): links
  -- come back within 5 s (common/redis_link.h).
  PATIENCE_MS = 6000,
  -- A dead worker's blocking pop ends by itself (after 10 s, worker/waiter.c): until so long (ms) after its
  -- lease its list is still swept.
  LINGER_MS = 15000,
  SCANNED = 1000, -- keys that one sweep looks through for lists of workers that are not registered
  MOST = 1000, -- names that one sweep gives back: as many as a worker may have
  LATE_MOST = 100, -- of them a living worker's
  SOLO_DEATHS_MOST = 3,
}

-- Extends a worker's lease. Answers false when it was not known: it is new, or was reaped.
function leases.renew(ns, worker, until_ms)
  local is_new = redis.call('HSETNX', ns .. 'worker:' .. worker, 'seq', 0) == 1
  redis.call('ZADD', ns .. 'workers', integer(until_ms), worker)
  return not is_new
end

-- What a blocking pop laid into a worker's list, oldest first. It stands at the list's left end, the
-- newest outermost; to the right of it stands what the worker took itself.
function leases.laid_down(ns, worker)
  local ids, key = {}, ns .. 'active:' .. worker
  while #ids < ADOPTED_MOST do
    local id = redis.call('LINDEX', key, #ids)
    local have = id and redis.pcall('HMGET', ns .. 'booking:' .. id, 'place', 'token')
    if not id or (have[1] == 'active' and have[2]:match('^(.*)/') == worker) then
      break
    end
    table.insert(ids, 1, id)
  end
  return ids
end

-- ARGV: worker, lease_ms. Comes before a worker takes anything, and then again and again.
-- Answers {'held' or 'lost', names}: lost means that what it had is in other hands now (or that it is
-- new); names are in its list that it did not take itself: a blocking pop laid them down.
local function lease(keys, args)
  local ns, worker = namespace(keys), args[1]
  local until_ms = now_ms() + number_argument(args, 2, 'lease_ms')
  local held = leases.renew(ns, worker, until_ms)
  return { held and 'held' or 'lost', #leases.laid_down(ns, worker) }
end

-- ---- Names that go back ----

-- Whether a booking that was in hand when its worker died goes to dead.
local function note_death(b)
  booking.set(b, 'deaths', (b.deaths or 0) + 1)
  if b.solo == '1' then
    booking.set(b, 'solo_deaths', (b.solo_deaths or 0) + 1)
  end
  return (b.solo_deaths or 0) >= leases.SOLO_DEATHS_MOST
end

-- One name of a worker's list goes back, next in line. A name that the worker never took may have been
-- pushed by hand, and its booking may be anywhere.
function leases.hand_back(ns, id, worker, died, now, keep_ms, counts)
  local b = booking.load(ns, id)
  if not b then
    stats_add(counts, 'unknown_names')
    return
  end
  local in_hand_of = b.place == 'active' and b.token:match('^(.*)/')
  if in_hand_of and in_hand_of ~= worker then
    booking.set(b, 'again', '1')
  else
    if in_hand_of and (b.act_ms or 0) >= b.taken_ms then
      booking.note_unfinished(b)
    end
    if in_hand_of and died and note_death(b) then
      booking.survived(b)
      queue.park(ns, id, b, now, 'its worker died three times while handling it alone', counts)
    else
      queue.give_back(ns, id, b)
    end
  end
  booking.save(ns, id, b, now, keep_ms)
end

-- Gives back up to `most` names of a worker's list, in the order in which they left the queue: the last
-- of them first, so that the first is the next in line. Answers how many.
function leases.empty(ns, worker, died, most, now, keep_ms, counts)
  local active = ns .. 'active:' .. worker
  local laid = leases.laid_down(ns, worker)
  local taken = redis.call('LRANGE', active, math.max(#laid, redis.call('LLEN', active) - most), -1)
  redis.call('LTRIM', active, #laid, -#taken - 1)
  for i = #laid, 1, -1 do
    leases.hand_back(ns, laid[i], worker, died, now, keep_ms, counts)
  end
  for i = #taken, 1, -1 do
    leases.hand_back(ns, taken[i], worker, died, now, keep_ms, counts)
  end
  return #laid + #taken
end

-- ARGV: worker, keep_ms. A worker that ends: all it still has goes back. Answers how many names it had.
local function leave(keys, args)
  local ns = namespace(keys)
  local worker, now, counts = args[1], now_ms(), {}
  local keep_ms = number_argument(args, 2, 'keep_ms')
  local names = leases.empty(ns, worker, false, math.huge, now, keep_ms, counts)
  redis.call('DEL', ns .. 'worker:' .. worker)
  redis.call('ZREM', ns .. 'workers', worker)
  stats_add(counts, 'given_back', names)
  stats_write(ns, counts)
  return names
end

-- ---- The sweep ----

-- Whether a worker's lease is over; also of a list whose worker is not registered.
function leases.is_over(ns, worker, now)
  local until_ms = redis.call('ZSCORE', ns .. 'workers', worker)
  if until_ms then
    return tonumber(until_ms) < now
  end
  return redis.call('EXISTS', ns .. 'active:' .. worker) == 1
end

-- Who may be dead: whose lease is over, whose list was found, and who was suspected before.
function leases.candidates(ns, sweep, found)
  local seen = hash_get(ns .. 'suspects') or {}
  local names, known = {}, { [sweep.worker] = true }
  local function add(worker)
    if not known[worker] then
      known[worker] = true
      names[#names + 1] = worker
    end
  end
  for _, worker in ipairs(redis.call('ZRANGE', ns .. 'workers', '-inf', integer(sweep.now), 'BYSCORE')) do
    add(worker)
  end
  for _, worker in ipairs(found) do
    add(worker)
  end
  for worker in pairs(seen) do
    add(worker)
  end
  return names, seen
end

-- Notes what this epoch sees. Answers the dead: those it saw long enough ago already.
function leases.sight(ns, sweep, found)
  local dead = {}
  local names, seen = leases.candidates(ns, sweep, found)
  for _, worker in ipairs(names) do
    local epoch, first_ms = (seen[worker] or ''):match('^(.*) (%d+)$')
    if not leases.is_over(ns, worker, sweep.now) then
      redis.call('HDEL', ns .. 'suspects', worker)
    elseif epoch ~= sweep.epoch then
      redis.call('HSET', ns .. 'suspects', worker, sweep.epoch .. ' ' .. integer(sweep.now))
    elseif sweep.now - first_ms >= leases.APART_MS then
      dead[#dead + 1] = worker
    end
  end
  return dead
end

-- Gives a dead worker's names back. Answers how many it had, or nil when there was nothing left of it.
function leases.bury(ns, sweep, worker, most)
  local names = leases.empty(ns, worker, true, most, sweep.now, sweep.keep_ms, sweep.counts)
  local was_known = redis.call('DEL', ns .. 'worker:' .. worker) == 1
  local until_ms = tonumber(redis.call('ZSCORE', ns .. 'workers', worker)) or 0
  if until_ms + leases.LINGER_MS <= sweep.now and redis.call('EXISTS', ns .. 'active:' .. worker) == 0 then
    redis.call('ZREM', ns .. 'workers', worker)
    redis.call('HDEL', ns .. 'suspects', worker)
  end
  if not was_known and names == 0 then
    return nil
  end
  stats_add(sweep.counts, 'reaped_workers', was_known and 1 or 0)
  stats_add(sweep.counts, 'taken_back', names)
  return names
end

-- What a worker that lives has had in hand for too long goes back: its own list stands in the order of its
-- takes. Answers the names.
function leases.overdue(ns, sweep, worker, most)
  local late = {}
  local laid = #leases.laid_down(ns, worker)
  most = math.min(most, leases.LATE_MOST)
  for _, id in ipairs(redis.call('LRANGE', ns .. 'active:' .. worker, laid, laid + most - 1)) do
    local have = redis.pcall('HMGET', ns .. 'booking:' .. id, 'place', 'token', 'taken_ms')
    if have[1] ~= 'active' or have[2]:match('^(.*)/') ~= worker or have[3] + sweep.hold_ms > sweep.now then
      break
    end
    late[#late + 1] = id
  end
  for i = #late, 1, -1 do
    leases.hand_back(ns, late[i], worker, false, sweep.now, sweep.keep_ms, sweep.counts)
    stats_add(sweep.counts, 'overdue')
  end
  return late
end

-- Buries the dead and relieves the living, up to MOST names. Answers {worker, names, …}, overdue names,
-- and whether there is more.
function leases.sweep(ns, sweep, dead)
  local left, buried, late = leases.MOST, {}, {}
  for _, worker in ipairs(dead) do
    local names = left > 0 and leases.bury(ns, sweep, worker, left)
    if names then
      buried[#buried + 1] = worker
      buried[#buried + 1] = names
      left = left - names
    end
  end
  local living = redis.call('ZRANGE', ns .. 'workers', integer(sweep.now), '+inf', 'BYSCORE')
  for _, worker in ipairs(living) do
    for _, id in ipairs(left > 0 and leases.overdue(ns, sweep, worker, left) or {}) do
      late[#late + 1] = id
      left = left - 1
    end
  end
  return buried, late, left <= 0
end

-- ARGV: sweeper (a worker), epoch, for how long (ms) it has been connected, lease_ms, hold_ms (how long a
-- booking may be in hand), keep_ms, the cursor that its newest sweep answered ('0': from the start).
-- Answers {'skipped'} (another one sweeps) or {'swept', cursor, {dead worker, its names, …}, {name that was
-- in hand for too long, …}, 1 when there is more to do at once}.
local function reap(keys, args)
  local ns = namespace(keys)
  local sweep = { worker = args[1], epoch = args[2], now = now_ms(), counts = {} }
  local connected_ms = number_argument(args, 3, 'connected_ms')
  number_argument(args, 7, 'cursor')
  local lease_ms = number_argument(args, 4, 'lease_ms')
  sweep.hold_ms, sweep.keep_ms = number_argument(args, 5, 'hold_ms'), number_argument(args, 6, 'keep_ms')
  local sweeping = redis.call('GET', ns .. 'sweeping')
  if sweeping and sweeping ~= sweep.epoch then
    return { 'skipped' }
  end
  redis.call('SET', ns .. 'sweeping', sweep.epoch, 'PX', leases.SILENT_MS)

  local next_cursor, found = scan(ns .. 'active:', args[7], leases.SCANNED)
  local dead = leases.sight(ns, sweep, found)
  if connected_ms < math.max(lease_ms, leases.PATIENCE_MS) then
    return { 'swept', next_cursor, {}, {}, 0 }
  end
  local buried, late, more = leases.sweep(ns, sweep, dead)
  stats_write(ns, sweep.counts)
  return { 'swept', next_cursor, buried, late, more and 1 or 0 }
end
