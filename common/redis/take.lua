-- Takes bookings from the queue into a worker's hands, and decides what is undecided, in list order,
-- together with the hold. First everything is read and planned, every policy run; then written.

-- A planner for each state answers a function that writes what is to be done, or nil.
local PLAN = { waiting = decide.plan }

-- What an accepted booking was charged is given back, or kept, when it was cancelled; and given back when it
-- turned out to be replaced by one that was decided alone.
function PLAN.accepted(batch, id, b)
  local heir = b.successor and batch.load(b.successor)
  if heir and heir.state == 'waiting' then
    return nil -- its decision takes the charge over
  end
  local replaced = heir and heir.decision and heir.state ~= 'observed'
  if not replaced and not booking.is_withdrawn_for_good(b) then
    return nil
  elseif batch.observe then
    return decide.leave_be(batch, id, b)
  end
  local why = replaced and 'rescheduled to ' .. b.successor or 'cancelled'
  local amount, movements = b.charged or 0, {}
  local refund = replaced or decide.is_refundable(batch, b)
  if refund then
    accounts.add(movements, b.account, 'refund', amount, { booking = id, note = why })
  end
  local message = accounts.plan(batch, movements)
  if message then
    return decide.parker(batch, id, b, message)
  end
  return function()
    if refund then
      accounts.write(batch, movements)
      booking.set(b, 'charged', 0)
      booking.set(b, 'reason', why .. '; ' .. integer(amount) .. ' refunded')
    else
      booking.set(b, 'reason', 'cancelled too late for a refund; ' .. integer(amount) .. ' kept')
    end
    booking.close(batch.ns, id, b, 'cancelled', batch.now, batch.counts)
  end
end

local function is_fresh(batch, b)
  return b.takes == 1 and b.events == 1 and not b.look_first and not b.waited_for and not b.found_ms
    and batch.now - b.received_ms < batch.fresh_ms
    and math.abs(batch.now - b.first_ms) < batch.fresh_ms
end

-- What a worker needs to know; see store.h, struct store_job.
local function job_of(batch, id, b)
  -- Let in by our own confirm of another one of its series, a "no" cancels it as in the guide's flow.
  local is_guide = booking.is_guide(b) or series.is_let_in(batch.ns, b)
  local how = booking.is_in_series(b) and series.approach(batch, id, b)
  return { id, b.token, booking.goal(b) or 'look', b.uid or '', b.account or '', b.reason or '',
    integer(b.cost or 0), integer(b.attempts), is_fresh(batch, b) and '1' or '0',
    is_guide and '1' or '0', integer(math.max(0, (b.busy_until_ms or 0) - batch.now)),
    b.seat or '', how == 'alone' and '2' or how and '1' or '0',
    (b.payment_ms or b.paid == 'yes') and '1' or '0' }
end

-- A take whose answer was lost on the way is asked for again under the same number.
local function repeat_take(batch, ids)
  local jobs = {}
  for id in ids:gmatch('%S+') do
    local b = booking.load(batch.ns, id)
    if b and b.place == 'active' and b.token == batch.token then
      booking.set(b, 'takes', b.takes + 1)
      booking.save(batch.ns, id, b, batch.now, batch.keep_ms)
      jobs[#jobs + 1] = job_of(batch, id, b)
    end
  end
  return jobs
end

-- What a blocking pop laid into a worker's list, oldest first. It stands at the list's left end, the
-- newest outermost; to the right of it stands what the worker took itself.
local function laid_down(ns, worker)
  local ids = {}
  for _, id in ipairs(redis.call('LRANGE', ns .. 'active:' .. worker, 0, ADOPTED_MOST - 1)) do
    local have = redis.pcall('HMGET', ns .. 'booking:' .. id, 'place', 'token')
    if have[1] == 'active' and have[2]:match('^(.*)/') == worker then
      break
    end
    table.insert(ids, 1, id)
  end
  return ids
end

-- The names to take, in order: what was laid down, what is due again, then the queue.
local function choose(batch, want)
  local names = { adopted = {}, due = {}, queued = {} }
  for _, id in ipairs(laid_down(batch.ns, batch.name)) do
    if #names.adopted < want then
      names.adopted[#names.adopted + 1] = id
    end
  end
  want = want - #names.adopted
  if want > 0 then
    names.due = redis.call('ZRANGE', batch.ns .. 'retry', '-inf', integer(batch.now), 'BYSCORE',
      'LIMIT', 0, want)
    want = want - #names.due
  end
  if want > 0 then
    local tail = redis.call('LRANGE', batch.ns .. 'queue', -want, -1)
    for i = #tail, 1, -1 do
      names.queued[#names.queued + 1] = tail[i]
    end
  end
  return names
end

-- Plans one booking; nil when its name is no reason to do anything.
local function plan(batch, id)
  local b = batch.load(id)
  if not b then
    stats_add(batch.counts, 'unknown_names')
    return nil
  end
  if b.place == 'active' then
    -- Somebody pushed the name by hand while a worker has it.
    return { id = id, b = b, in_hand = true }
  end
  local item = { id = id, b = b }
  if b.state == 'waiting' and not b.first_seen then
    return item
  end
  if batch.observe and (b.check or '') ~= '' then
    item.write = function()
      sweep.put_back(batch.ns, id, b) -- what is seen would move credit
    end
  elseif batch.observe and b.state ~= 'waiting' and booking.needs_attention(b) then
    item.write = decide.leave_be(batch, id, b)
  elseif PLAN[b.state] and not b.is_planned and (b.check or '') == '' then
    b.is_planned = true
    item.write = PLAN[b.state](batch, id, b)
  end
  return item
end

local function write(batch, item)
  local id, b = item.id, item.b
  if item.in_hand then
    booking.set(b, 'again', '1')
    booking.save(batch.ns, id, b, batch.now, batch.keep_ms)
    return nil
  end
  queue.leave(batch.ns, id, b)
  booking.set(b, 'place', 'none')
  booking.set(b, 'again', '0')
  if item.write then
    item.write()
  end
  if b.place == 'none' then
    series.wait_turn(batch, id, b)
  end
  local job
  if b.place == 'none' and booking.goal(b) then
    redis.call('RPUSH', batch.active, id)
    booking.set(b, 'place', 'active')
    booking.set(b, 'token', batch.token)
    booking.set(b, 'takes', b.takes + 1)
    booking.set(b, 'taken_ms', batch.now)
    if is_fresh(batch, b) then
      booking.set(b, 'act_ms', batch.now) -- it may be acted on at once, without tollgate_begin
    end
    job = job_of(batch, id, b)
  end
  booking.save(batch.ns, id, b, batch.now, batch.keep_ms)
  return job
end

-- A fresh booking is acted on at once, some are only looked at; any other is looked at, then acted on.
local function is_one_call(job)
  local goal, fresh = job[3], job[9]
  return fresh == '1' or goal == 'look' or goal == 'identify'
end

local function take_batch(batch, want)
  local names = choose(batch, gate.admit(batch.gate, want, batch.token))
  local items, seen = {}, {}
  local lists = { names.adopted, names.due, names.queued }
  for _, list in ipairs(lists) do
    for _, id in ipairs(list) do
      batch.named[id] = true
    end
  end
  for _, list in ipairs(lists) do
    for _, id in ipairs(list) do
      if not seen[id] then
        seen[id] = true
        items[#items + 1] = plan(batch, id)
      end
    end
  end

  for _, id in ipairs(names.adopted) do
    redis.call('LREM', batch.active, 1, id)
  end
  if #names.due > 0 then
    redis.call('ZREM', batch.ns .. 'retry', unpack(names.due))
  end
  if #names.queued > 0 then
    redis.call('RPOP', batch.ns .. 'queue', #names.queued)
  end
  local jobs, ids, handed = {}, {}, {}
  for _, item in ipairs(items) do
    local job = write(batch, item)
    if job then
      jobs[#jobs + 1] = job
      ids[#ids + 1] = item.id
      handed[#handed + 1] = { id = item.id, token = batch.token, is_one_call = is_one_call(job) }
    end
  end
  gate.hand_out(batch.gate, batch.name, handed)
  redis.call('HSET', batch.worker, 'seq', integer(batch.seq), 'batch', table.concat(ids, ' '))
  return jobs
end

-- The queue is paused: what a blocking pop took off it goes back. Answers no jobs.
local function take_nothing(batch)
  batch.hold, batch.hold_ms = 'paused', PAUSE_AGAIN_MS
  for _, id in ipairs(laid_down(batch.ns, batch.name)) do
    redis.call('LREM', batch.active, 1, id)
    queue.put_back(batch.ns, id)
  end
  return {}
end

-- How long until the next retry is due, in ms; -1 when none waits.
local function next_due(batch)
  local first = redis.call('ZRANGE', batch.ns .. 'retry', 0, 0, 'WITHSCORES')
  if #first == 0 then
    return -1
  end
  return math.max(0, first[2] - batch.now)
end

-- ARGV: worker, number of this take (from 1 up; the same number repeats the same batch), how many at
-- most, fresh_ms, lease_ms, keep_ms, mode (decide or observe), then option, value, … (see gate.load)
-- Answers {names left in the queue, ms until the next retry is due or -1, {job, …}, hold, hold_ms, gate}
--   hold     why no more can be taken now; '': nothing stands against it; probe: the worker shall ask /me
--   hold_ms  for how long
--   gate     see gate.view
local function take(keys, args)
  local ns = namespace(keys)
  local worker = args[1]
  local seq, want = number_argument(args, 2, 'take number'), number_argument(args, 3, 'count')
  local now = now_ms()
  local batch = {
    ns = ns, name = worker, now = now, seq = seq, token = worker .. '/' .. integer(seq),
    worker = ns .. 'worker:' .. worker, active = ns .. 'active:' .. worker,
    fresh_ms = number_argument(args, 4, 'fresh_ms'), keep_ms = number_argument(args, 6, 'keep_ms'),
    observe = args[7] == 'observe', options = pairs_of(args, 8), counts = {},
    known = {}, purses = {}, planned = {}, errors = {}, -- see accounts
    named = {}, touched = {}, -- bookings that this take deals with, by name or beside another one
    slots = {}, opened = {}, -- slots claimed and bookings accepted by what is planned so far
  }
  local loaded = {}
  -- Each booking is loaded once, so that whoever changes it sees what others changed.
  function batch.load(booking_id)
    if loaded[booking_id] == nil then
      loaded[booking_id] = booking.load(ns, booking_id) or false
    end
    return loaded[booking_id] or nil
  end
  batch.gate = gate.load(ns, batch.options, now)
  local lease_ms = number_argument(args, 5, 'lease_ms')
  local before = redis.call('HMGET', batch.worker, 'seq', 'batch')
  local last = tonumber(before[1]) or 0
  if seq < last or seq == 0 then
    error({ err = 'ERR tollgate: take ' .. integer(seq) .. ' of ' .. worker .. ' came after take '
      .. integer(last) })
  end

  local jobs
  if seq == last then
    jobs = repeat_take(batch, before[2] or '')
  elseif queue.is_paused(ns) then
    jobs = take_nothing(batch)
  else
    local policy, message = policy_host.current(ns)
    if not policy then
      error({ err = 'NOPOLICY ' .. message })
    end
    batch.policy = policy
    batch.terms = hash_get(ns .. 'terms') or {}
    jobs = take_batch(batch, want)
  end
  redis.call('ZADD', ns .. 'workers', integer(now + lease_ms), worker)
  stats_write(ns, batch.counts)
  local g = batch.gate or {}
  return { redis.call('LLEN', ns .. 'queue'), next_due(batch), jobs, batch.hold or g.hold or '',
    integer(batch.hold_ms or g.hold_ms or 0), gate.view(batch.gate) }
end
