-- The steps that end a take. Each presents the booking's token; a step whose token is not the one
-- in force (the booking was settled, handed back, taken over) changes nothing, is counted, and
-- answers {'stale'}.

-- The booking in hand under this token, or nil.
local function in_hand(ns, id, token, counts)
  local b = booking.load(ns, id)
  if b and b.place == 'active' and b.token == token then
    return b
  end
  stats_add(counts, 'stale_steps')
  return nil
end

-- What Cal.com says becomes of an open booking: per state and outcome, the final state and the
-- movement of the booking's credits. `refused`: Cal.com will never do what we ask.
local SETTLE = {
  accepting = {
    accepted = { state = 'accepted', move = 'capture' },
    rejected = { state = 'rejected', move = 'release', reason = 'declined in Cal.com; nothing is charged' },
    cancelled = { state = 'cancelled', move = 'release', reason = 'cancelled in Cal.com; nothing is charged' },
    gone = { state = 'cancelled', move = 'release', reason = 'gone from Cal.com; nothing is charged' },
    refused = { state = 'failed', move = 'release', dead = true },
  },
  rejecting = {
    -- The host overrode our "no": it stands, and nothing is charged.
    accepted = { state = 'accepted', move = 'waive', reason = 'accepted in Cal.com by hand; nothing is charged' },
    rejected = { state = 'rejected' },
    cancelled = { state = 'rejected' },
    gone = { state = 'rejected' },
    refused = { state = 'failed', dead = true },
  },
}

-- A booking that was final before: only a host's late yes changes it.
local RESURRECTED = SETTLE.rejecting.accepted

local OUTCOMES = { accepted = true, rejected = true, cancelled = true, gone = true, refused = true }

-- The movement that a rule asks for, as {amount, purses}; nil when nothing is to be moved. The second
-- answer says why it cannot be.
local function plan_movement(ns, b, rule)
  local amount = rule.move == 'waive' and b.cost or b.held
  if not rule.move or not amount or amount == 0 or not b.account then
    return nil
  end
  local purses, message = credit.load_for(ns, b.account, rule.move, amount)
  return { amount = amount, purses = purses }, message
end

local function write_movement(ns, id, b, kind, movement, note)
  credit.move(ns, b.account, movement.purses, kind, movement.amount, { booking = id, note = note })
  booking.set(b, 'held', 0)
  if kind == 'capture' then
    booking.set(b, 'charged', movement.amount)
  end
end

-- ARGV: id, token, outcome, keep_ms, note (an error text or what Cal.com said)
-- Answers {'settled', state}, {'look'} (a cancel or reject came while our confirm was on its way: see
-- how Cal.com stands now), {'parked', reason} or {'stale'}.
local function settle(keys, args)
  local ns = namespace(keys)
  local id, token, outcome, note = args[1], args[2], args[3], args[5] or ''
  local keep_ms = number_argument(args, 4, 'keep_ms')
  if not OUTCOMES[outcome] then
    error({ err = 'ERR tollgate: unknown outcome ' .. tostring(outcome) })
  end
  local now, counts = now_ms(), {}
  local b = in_hand(ns, id, token, counts)
  if not b then
    stats_write(ns, counts)
    return { 'stale' }
  end
  if b.state == 'accepting' and outcome == 'accepted' and booking.is_withdrawn(b) then
    return { 'look' }
  end

  local by_state = SETTLE[b.state]
  local rule = by_state and by_state[outcome]
  if not by_state and outcome == 'accepted' and b.state ~= 'accepted' and b.state ~= 'waiting' then
    rule = RESURRECTED
  end
  local movement, message
  if rule then
    movement, message = plan_movement(ns, b, rule)
  end
  if message then
    queue.park(ns, id, b, now, message, counts)
  elseif rule then
    if movement then
      write_movement(ns, id, b, rule.move, movement, note)
    end
    booking.set(b, 'reason', rule.reason or b.reason or '')
    booking.close(ns, id, b, rule.state, now, counts)
    if rule.dead then
      queue.park(ns, id, b, now, note, counts)
    else
      -- A fact that was no news while the call was on its way may be one now.
      queue.put_down(ns, id, b, booking.needs_attention(b) and 'queue' or 'none')
    end
  else
    booking.set(b, 'settled_ms', now)
    queue.put_down(ns, id, b, 'none')
  end
  booking.save(ns, id, b, now, keep_ms)
  stats_write(ns, counts)
  if message then
    return { 'parked', message }
  end
  return { 'settled', b.state }
end

-- Nobody gains from asking Cal.com about a booking that began, unless it is young.
local function is_hopeless(b, now)
  return now >= math.max((b.start or 0) * 1000, b.received_ms + 86400000)
end

-- ARGV: id, token, delay (ms), 1 when this counts as an attempt, keep_ms, why
-- Answers {'retry', delay}, {'queued'} (named again meanwhile), {'dead'} or {'stale'}.
local function retry(keys, args)
  local ns = namespace(keys)
  local id, token, why = args[1], args[2], args[6] or ''
  local delay_ms, keep_ms = number_argument(args, 3, 'delay'), number_argument(args, 5, 'keep_ms')
  local now, counts = now_ms(), {}
  local b = in_hand(ns, id, token, counts)
  local answer = { 'stale' }
  if b then
    booking.set(b, 'last_error', why)
    if args[4] == '1' then
      booking.set(b, 'attempts', b.attempts + 1)
      stats_add(counts, 'retries')
    end
    local place
    if is_hopeless(b, now) then
      place = queue.park(ns, id, b, now, 'gave up: ' .. why, counts)
    else
      place = queue.put_down(ns, id, b, 'retry', now + delay_ms)
    end
    answer = place == 'retry' and { 'retry', delay_ms } or { place == 'queue' and 'queued' or place }
    booking.save(ns, id, b, now, keep_ms)
  end
  stats_write(ns, counts)
  return answer
end

-- ARGV: id, token, keep_ms. Puts a booking back undone, next in line; no attempt is counted.
-- Answers {'queued'} or {'stale'}.
local function give_back(keys, args)
  local ns = namespace(keys)
  local keep_ms, counts = number_argument(args, 3, 'keep_ms'), {}
  local b = in_hand(ns, args[1], args[2], counts)
  if b then
    queue.give_back(ns, args[1], b)
    booking.save(ns, args[1], b, now_ms(), keep_ms)
    stats_add(counts, 'given_back')
  end
  stats_write(ns, counts)
  return { b and 'queued' or 'stale' }
end

-- One name of a leaving worker's list. A name that the worker never took may have been pushed by hand,
-- and its booking may be anywhere.
local function leave_one(ns, id, worker, now, keep_ms)
  local b = booking.load(ns, id)
  if not b then
    return
  end
  if b.place == 'active' and b.token:match('^(.*)/') ~= worker then
    booking.set(b, 'again', '1')
  else
    if b.place == 'active' then
      booking.set(b, 'busy_until_ms', b.taken_ms + UNFINISHED_CALL_MS)
    end
    queue.give_back(ns, id, b)
  end
  booking.save(ns, id, b, now, keep_ms)
end

-- ARGV: worker, keep_ms. A worker that ends: all it still has goes back, in the order in which it left
-- the queue, next in line. Answers how many names it had.
local function leave_work(keys, args)
  local ns = namespace(keys)
  local worker, now, counts = args[1], now_ms(), {}
  local keep_ms = number_argument(args, 2, 'keep_ms')
  local active = ns .. 'active:' .. worker
  local laid = laid_down(ns, worker)
  local ids = redis.call('LRANGE', active, #laid, -1)
  for _, id in ipairs(laid) do
    ids[#ids + 1] = id
  end
  redis.call('DEL', active, ns .. 'worker:' .. worker)
  redis.call('ZREM', ns .. 'workers', worker)
  for i = #ids, 1, -1 do
    leave_one(ns, ids[i], worker, now, keep_ms)
  end
  stats_add(counts, 'given_back', #ids)
  stats_write(ns, counts)
  return #ids
end
