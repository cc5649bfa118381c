-- Takes bookings from the queue into a worker's hands, and decides what is undecided, in list order,
-- together with the hold. First everything is read and planned, every policy run; then written.

local take

-- Lua allows 200 local names at a time, over all parts: what only this one needs ends with it.
do

-- A planner for each state answers a function that writes what is to be done, or nil.
local PLAN = { waiting = decide.plan }

-- Cal.com sends BOOKING_CANCELLED, waits for our answer, and cancels then: what a look sees before tells nothing.
local CANCELLING_MS = 5000

-- A writer for an accepted booking that may be cancelled: first it waits, then it is looked at.
local function doubter(batch, id, b)
  local has_waited = b.place == 'retry'
  return function()
    if has_waited then
      booking.set(b, 'doubt', '2')
      booking.set(b, 'check', 'none')
    else
      decide.put_off(batch, id, b, CANCELLING_MS)
    end
  end
end

-- What an accepted booking was charged is given back, or kept, when it was cancelled; and given back when it
-- turned out to be replaced by one that was decided alone.
function PLAN.accepted(batch, id, b)
  local heir = b.successor and batch.load(b.successor)
  if heir and heir.state == 'waiting' then
    return nil -- its decision takes the charge over
  end
  local replaced = heir and booking.stands_alone(heir)
  if not replaced and not booking.is_withdrawn_for_good(b) then
    return b.doubt == '1' and doubter(batch, id, b) or nil
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

-- For how long (ms) from now on a booking may be acted on without a look; 0: not at all.
local function fresh_for(batch, b)
  if b.takes > 1 or b.events > 1 or b.look_first or b.waited_for or b.found_ms or not b.first_ms then
    return 0
  end
  local age_ms = math.max(batch.now - b.received_ms, math.abs(batch.now - b.first_ms))
  return math.max(0, batch.fresh_ms - age_ms)
end

-- What a worker needs to know; see store.h, struct store_job. Behind it, where the worker asks for that and the
-- webhook brought one: the traceparent.
local function job_of(batch, id, b)
  -- Let in by our own confirm, of another one of its series or before a person said no, a "no" cancels it as in the
  -- guide's flow.
  local is_guide = booking.is_guide(b) or b.overruled == '1' or series.is_let_in(batch.ns, b)
  local how = booking.is_in_series(b) and series.approach(batch, id, b)
  return { id, b.token, booking.goal(b) or 'look', b.uid or '', b.account or '', b.reason or '',
    integer(b.cost or 0), integer(b.attempts), integer(fresh_for(batch, b)),
    is_guide and '1' or '0', integer(math.max(0, (b.busy_until_ms or 0) - batch.now)),
    b.seat or '', how == 'alone' and '2' or how and '1' or '0',
    (b.payment_ms or b.paid == 'yes') and '1' or '0', b.solo or '0',
    batch.options.traces and b.traceparent }
end

-- A take whose answer was lost on the way is asked for again under the same number.
local function repeat_take(batch, ids)
  local jobs = {}
  for id in ids:gmatch('%S+') do
    local b = booking.load(batch.ns, id)
    if b and b.place == 'active' and b.token == batch.token then
      booking.set(b, 'takes', b.takes + 1)
      booking.save(batch.ns, id, b, batch.now, batch.keep_ms)
      batch.hold = b.solo == '1' and 'solo' or batch.hold
      jobs[#jobs + 1] = job_of(batch, id, b)
    end
  end
  return jobs
end

local function is_suspect(batch, id)
  local b = batch.load(id)
  return b and (b.deaths or 0) >= SUSPECT_DEATHS and b.place ~= 'active'
end

-- A booking that may kill its worker is taken by one with empty hands, and alone: the batch ends before
-- it, or is nothing else. The worker then takes no more until its hands are empty.
local function end_at_suspect(batch, lists)
  local count, kept = tonumber(batch.options.busy) or 0, { {}, {}, {} }
  for i, list in ipairs(lists) do
    for _, id in ipairs(list) do
      local suspect = is_suspect(batch, id)
      if suspect and count == 0 then
        batch.solo = id
        kept[i][1] = id
      end
      if suspect then
        batch.hold = 'solo'
        return kept
      end
      kept[i][#kept[i] + 1] = id
      count = count + 1
    end
  end
  return kept
end

-- What blocking pops laid down, in any worker's list, in the order in which it reached us: of two workers that
-- each got a name the one with the later name may be faster.
local function adoptable(batch, most)
  local lists, ids = {}, {}
  local function add(worker)
    local laid = leases.laid_down(batch.ns, worker)
    if laid[1] then
      lists[#lists + 1] = laid
    end
    for _, id in ipairs(laid) do
      batch.laid_in[id] = batch.ns .. 'active:' .. worker
    end
  end
  add(batch.name) -- the first take registers it
  for _, worker in ipairs(redis.call('ZRANGE', batch.ns .. 'workers', 0, -1)) do
    if worker ~= batch.name then
      add(worker)
    end
  end
  while #lists > 0 and #ids < most do
    local oldest = 1
    for i = 2, #lists do
      oldest = queue.is_older(batch.ns, lists[i][1], lists[oldest][1]) and i or oldest
    end
    ids[#ids + 1] = table.remove(lists[oldest], 1)
    if #lists[oldest] == 0 then
      table.remove(lists, oldest)
    end
  end
  return ids
end

-- The names to take, in order: what was laid down, what is due again, then the queue. Answers these three
-- lists.
local function choose(batch, want)
  local names = { adopted = adoptable(batch, want), due = {}, queued = {} }
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
  return end_at_suspect(batch, { names.adopted, names.due, names.queued })
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
  if b.again == '1' then
    booking.set(b, 'again', '0')
  end
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
    if fresh_for(batch, b) > 0 then
      booking.set(b, 'act_ms', batch.now) -- it may be acted on at once, without tollgate_begin
    end
    local solo = id == batch.solo and '1' or '0'
    if solo ~= (b.solo or '0') then
      booking.set(b, 'solo', solo)
    end
    job = job_of(batch, id, b)
  end
  booking.save(batch.ns, id, b, batch.now, batch.keep_ms)
  return job
end

-- A fresh booking is acted on at once, some are only looked at; any other is looked at, then acted on.
local function is_one_call(job)
  local goal, fresh = job[3], job[9]
  return tonumber(fresh) > 0 or goal == 'look' or goal == 'identify'
end

local function take_batch(batch, want)
  local lists = choose(batch, gate.admit(batch.gate, want, batch.token))
  local adopted, due, queued = unpack(lists)
  local items, seen = {}, {}
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

  for _, id in ipairs(adopted) do
    redis.call('LREM', batch.laid_in[id], 1, id)
  end
  if #due > 0 then
    redis.call('ZREM', batch.ns .. 'retry', unpack(due))
  end
  if #queued > 0 then
    redis.call('RPOP', batch.ns .. 'queue', #queued)
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
  for _, id in ipairs(leases.laid_down(batch.ns, batch.name)) do
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
-- most, fresh_ms, lease_ms, keep_ms, mode (decide or observe), then option, value, … (see gate.load), and
--   busy     how many bookings the worker has in hand
--   traces   given: jobs have the traceparent (see job_of)
-- Answers {names left in the queue, ms until the next retry is due or -1, {job, …}, hold, hold_ms, gate}
--   hold     why no more can be taken now; '': nothing stands against it. probe: the worker shall ask /me.
--            solo: a booking is, or is to be, taken alone
--   hold_ms  for how long; 0 with a hold: until the worker's hands are empty
--   gate     see gate.view
take = function(keys, args)
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
    laid_in = {}, -- name that a blocking pop laid down -> the list that it lies in
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
  leases.renew(ns, worker, now + lease_ms)
  stats_write(ns, batch.counts)
  local g = batch.gate or {}
  return { redis.call('LLEN', ns .. 'queue'), next_due(batch), jobs, batch.hold or g.hold or '',
    integer(batch.hold_ms or g.hold_ms or 0), gate.view(batch.gate) }
end

end
