-- Takes bookings from the queue into a worker's hands, and decides what is undecided, in list order,
-- together with the hold. First everything is read and planned, every policy run; then written.

-- What this call knows of accounts: `purses` as they are, `planned` as they will be when the steps
-- planned so far are done. An account that cannot be read has an error text instead.
local function account_of(batch, account)
  if batch.known[account] == nil then
    local purses, message = credit.load(batch.ns, account)
    batch.known[account] = true
    batch.purses[account] = purses
    batch.errors[account] = message
    if purses then
      local planned = {}
      for field, value in pairs(purses) do
        if type(field) == 'string' then
          planned[field] = value
        end
      end
      batch.planned[account] = planned
    end
  end
  return batch.planned[account], batch.errors[account]
end

local function plan_move(batch, account, kind, amount)
  if amount > 0 then
    local planned = batch.planned[account] or { balance = 0, held = 0, spent = 0 }
    batch.planned[account] = planned
    credit.apply(planned, kind, amount)
  end
end

local function move(batch, id, b, kind, amount, note)
  if amount > 0 then
    batch.purses[b.account] =
      credit.move(batch.ns, b.account, batch.purses[b.account], kind, amount, { booking = id, note = note })
  end
end

-- Asks the policy about an undecided booking. Answers a verdict, or nil and why there is none.
local function ask_policy(batch, id, b)
  if not b.account then
    return nil, 'no webhook told whose account this booking is on'
  end
  local account, message = account_of(batch, b.account)
  if message then
    return nil, message
  end
  local verdict
  verdict, message = policy_host.decide(batch.policy, id, b, account, batch.terms, batch.now)
  if verdict then
    verdict.balance = account and account.balance or ''
  end
  return verdict, message
end

local function write_decision(batch, id, b, verdict)
  local decision = verdict.accept and 'accept' or 'reject'
  booking.set(b, 'state', verdict.accept and 'accepting' or 'rejecting')
  booking.set(b, 'decision', decision)
  booking.set(b, 'reason', verdict.reason)
  booking.set(b, 'cost', verdict.cost)
  booking.set(b, 'held', verdict.accept and verdict.cost or 0)
  booking.set(b, 'charged', 0)
  booking.set(b, 'policy', batch.policy.sha)
  booking.set(b, 'balance_before', verdict.balance)
  booking.set(b, 'decided_ms', batch.now)
  if verdict.accept then
    move(batch, id, b, 'hold', verdict.cost, verdict.reason)
  end
  stats_add(batch.counts, 'decided:' .. decision)
  redis.call('XADD', batch.ns .. 'decisions', 'MAXLEN', '~', DECISIONS_KEPT, '*', 'booking', id,
    'account', b.account, 'event_type', b.event_type or '', 'decision', decision,
    'cost', integer(verdict.cost), 'reason', verdict.reason)
end

-- Accepted by hand before we decided: charged if the credit is there, else waived.
local function write_accepted_by_hand(batch, id, b, verdict)
  if verdict.accept then
    move(batch, id, b, 'capture', verdict.cost, 'accepted in Cal.com by hand')
    booking.set(b, 'charged', b.held)
    booking.set(b, 'held', 0)
  else
    move(batch, id, b, 'waive', verdict.cost, verdict.reason)
  end
  booking.close(batch.ns, id, b, 'accepted', batch.now, batch.counts)
end

-- A planner for each state answers a function that writes what is to be done, or nil.
local PLAN = {}

function PLAN.waiting(batch, id, b)
  if booking.is_withdrawn(b) then
    local state = b.cancelled_ms and 'cancelled' or 'rejected'
    return function()
      booking.set(b, 'reason', state .. ' in Cal.com before it was decided; nothing is charged')
      booking.close(batch.ns, id, b, state, batch.now, batch.counts)
    end
  end
  if b.unsupported then
    return function()
      queue.park(batch.ns, id, b, batch.now, b.unsupported, batch.counts)
    end
  end
  local verdict, message = ask_policy(batch, id, b)
  if not verdict then
    return function()
      queue.park(batch.ns, id, b, batch.now, message, batch.counts)
    end
  end
  local by_hand = booking.is_accepted_by_hand(b)
  if verdict.accept then
    plan_move(batch, b.account, 'hold', verdict.cost)
    if by_hand then
      plan_move(batch, b.account, 'capture', verdict.cost)
    end
  end
  return function()
    write_decision(batch, id, b, verdict)
    if by_hand then
      write_accepted_by_hand(batch, id, b, verdict)
    end
  end
end

-- Cancelled by the host, or declined: always refunded. By the member: if it was early enough.
local function is_refundable(batch, b)
  if not b.cancelled_ms or not b.cancelled_by or b.cancelled_by ~= b.email or not b.start then
    return true
  end
  local notice_ms = (tonumber(batch.terms.refund_notice_hours) or 24) * 3600000
  return b.start * 1000 - math.min(b.cancelled_ms, b.cancelled_received_ms) >= notice_ms
end

function PLAN.accepted(batch, id, b)
  if not booking.is_withdrawn_for_good(b) then
    return nil
  end
  local amount = b.charged or 0
  local _, message
  if b.account then
    _, message = account_of(batch, b.account)
  end
  if b.account and not message then
    _, message = credit.load_for(batch.ns, b.account, 'refund', amount)
  end
  if message then
    return function()
      queue.park(batch.ns, id, b, batch.now, message, batch.counts)
    end
  end
  local refund = is_refundable(batch, b)
  if refund then
    plan_move(batch, b.account, 'refund', amount)
  end
  return function()
    if refund then
      move(batch, id, b, 'refund', amount, 'cancelled')
      booking.set(b, 'charged', 0)
      booking.set(b, 'reason', 'cancelled; ' .. integer(amount) .. ' refunded')
    else
      booking.set(b, 'reason', 'cancelled too late for a refund; ' .. integer(amount) .. ' kept')
    end
    booking.close(batch.ns, id, b, 'cancelled', batch.now, batch.counts)
  end
end

local function is_fresh(batch, b)
  return b.takes == 1 and b.events == 1 and batch.now - b.received_ms < batch.fresh_ms
    and math.abs(batch.now - b.first_ms) < batch.fresh_ms
end

-- What a worker needs to know; see store.h, struct store_job.
local function job_of(batch, id, b)
  return { id, b.token, booking.goal(b) or 'look', b.uid or '', b.account or '', b.reason or '',
    integer(b.cost or 0), integer(b.attempts), is_fresh(batch, b) and '1' or '0',
    booking.is_guide(b) and '1' or '0', integer(math.max(0, (b.busy_until_ms or 0) - batch.now)),
    b.seat or '', '0', (b.payment_ms or b.paid == 'yes') and '1' or '0' }
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
  local b = booking.load(batch.ns, id)
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
  if PLAN[b.state] then
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
  local job
  if b.place == 'none' and booking.goal(b) then
    redis.call('RPUSH', batch.active, id)
    booking.set(b, 'place', 'active')
    booking.set(b, 'token', batch.token)
    booking.set(b, 'takes', b.takes + 1)
    booking.set(b, 'taken_ms', batch.now)
    job = job_of(batch, id, b)
  end
  booking.save(batch.ns, id, b, batch.now, batch.keep_ms)
  return job
end

local function take_batch(batch, want)
  local names = choose(batch, want)
  local items, seen = {}, {}
  for _, list in ipairs({ names.adopted, names.due, names.queued }) do
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
  local jobs, ids = {}, {}
  for _, item in ipairs(items) do
    local job = write(batch, item)
    if job then
      jobs[#jobs + 1] = job
      ids[#ids + 1] = item.id
    end
  end
  redis.call('HSET', batch.worker, 'seq', integer(batch.seq), 'batch', table.concat(ids, ' '))
  return jobs
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
-- most, fresh_ms, lease_ms, keep_ms
-- Answers {names left in the queue, ms until the next retry is due or -1, {job, …}}
local function take(keys, args)
  local ns = namespace(keys)
  local worker = args[1]
  local seq, want = number_argument(args, 2, 'take number'), number_argument(args, 3, 'count')
  local now = now_ms()
  local batch = {
    ns = ns, name = worker, now = now, seq = seq, token = worker .. '/' .. integer(seq),
    worker = ns .. 'worker:' .. worker, active = ns .. 'active:' .. worker,
    fresh_ms = number_argument(args, 4, 'fresh_ms'), keep_ms = number_argument(args, 6, 'keep_ms'),
    known = {}, purses = {}, planned = {}, errors = {}, counts = {},
  }
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
  return { redis.call('LLEN', ns .. 'queue'), next_due(batch), jobs }
end
