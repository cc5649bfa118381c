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

-- ARGV: id, token, call (look, confirm, decline, cancel), keep_ms, then option, value, … (see gate.load).
-- Comes before every call to Cal.com but the first of a take: what may not be asked for any more is not,
-- the call is reserved, and when it began is on record for whoever takes the booking over.
-- Answers {'go'}, {'look'} (a cancel or reject came meanwhile: no confirm, see how Cal.com stands),
-- {'hold', ms, why} (no call may go out now) or {'stale'}.
local function begin(keys, args)
  local ns = namespace(keys)
  local id, call = args[1], args[3]
  local keep_ms = number_argument(args, 4, 'keep_ms')
  local now, counts = now_ms(), {}
  local g = gate.load(ns, pairs_of(args, 5), now)
  local b = in_hand(ns, id, args[2], counts)
  local answer = { 'stale' }
  if b and call == 'confirm' and booking.is_withdrawn(b) then
    answer = { 'look' }
  elseif b then
    local wait_ms, why = gate.call(g, args[2], id)
    answer = wait_ms and { 'hold', integer(wait_ms), why } or { 'go' }
    if not wait_ms and call ~= 'look' then
      booking.set(b, 'act_ms', now)
      booking.save(ns, id, b, now, keep_ms)
    end
  end
  stats_write(ns, counts)
  return answer
end

-- What Cal.com says becomes of an open booking: per state and outcome, the final state and the
-- movement of the booking's credits. `refused`: Cal.com will never do what we ask.
local SETTLE = {
  -- Seen when it was looked up which series it is one of.
  waiting = {
    rejected = { state = 'rejected', reason = 'declined in Cal.com before it was decided; nothing is charged' },
    cancelled = { state = 'cancelled', reason = 'cancelled in Cal.com before it was decided; nothing is charged' },
    gone = { state = 'cancelled', reason = 'gone from Cal.com before it was decided; nothing is charged' },
  },
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

-- A booking that was final before: only a host's late yes changes it. Not so when it was rescheduled since
-- that was asked.
local RESURRECTED = SETTLE.rejecting.accepted

local OUTCOMES = { accepted = true, rejected = true, cancelled = true, gone = true, refused = true, pending = true }

-- What is left of a hold that was not there in full when Cal.com said yes to a whole series.
local function uncovered(b)
  return math.max(0, (b.cost or 0) - (b.held or 0))
end

-- Whether a hold stays: the booking was rescheduled, and the new one's decision takes the hold over.
local function has_heir(ns, b)
  if not b.successor then
    return false
  end
  local heir = redis.call('HMGET', ns .. 'booking:' .. b.successor, 'state', 'account')
  return heir[1] == 'waiting' and heir[2] == b.account
end

-- The movement that a rule asks for, as {kind, amount}; nil when nothing is to be moved.
local function movement_of(ns, id, b, rule)
  local amount = b.held
  if rule.move == 'waive' then
    if accounts.is_waived(ns, id) then
      return nil -- it was accepted by hand before, and has ended since
    end
    amount = math.max(0, (b.cost or 0) - (b.charged or 0)) -- it may have been cancelled too late for a refund
  end
  if not rule.move or not b.account or not amount or (rule.move == 'release' and has_heir(ns, b)) then
    return nil
  elseif amount == 0 and not (rule.move == 'capture' and uncovered(b) > 0) then
    return nil
  end
  return { kind = rule.move, amount = amount }
end

-- Moves the booking's credits in its loaded account. Answers the account.
local function write_movement(ns, id, b, movement, purses, note, now)
  local entry = { booking = id, note = note }
  local function move(kind, amount)
    if amount > 0 then
      purses = credit.move(ns, b.account, purses, kind, amount, entry)
    end
    if amount > 0 and kind == 'waive' then
      accounts.list_waived(ns, id, now)
    end
  end
  move(movement.kind, movement.amount)
  if movement.kind == 'capture' then
    move('waive', uncovered(b))
    booking.set(b, 'charged', movement.amount)
  end
  if movement.kind ~= 'waive' then
    booking.set(b, 'held', 0)
  end
  return purses
end

-- Settles one booking by a rule.
local function write_settled(ns, id, b, rule, movement, purses, note, now, counts)
  if movement then
    purses = write_movement(ns, id, b, movement, purses, note, now)
  end
  booking.set(b, 'reason', rule.reason or b.reason or '')
  booking.close(ns, id, b, rule.state, now, counts)
  if b.successor then
    queue.wake(ns, b.successor)
  end
  return purses
end

-- Cal.com acted on the whole series. Its other bookings in `state` have the outcome that the answer names for
-- their uid in `members` (`uid status uid status …`), or that of the lead where it names none at all. Those to be
-- accepted that were cancelled one by one meanwhile are looked at by themselves. Answers who is still to be asked
-- for.
local function settle_followers(ns, followers, acted, purses_of, note, now, keep_ms, counts)
  local state, members, told, left = acted.state, acted.members, {}, {}
  for uid, status in members:gmatch('(%S+) (%S+)') do
    told[uid] = status
  end
  for _, follower in ipairs(followers) do
    local id, b = follower.id, follower.b
    local its = members == '' and acted.outcome or told[b.uid]
    local rule = SETTLE[state][its]
    if b.state ~= state or (state == 'accepting' and booking.is_withdrawn(b)) then
      -- It has a goal of its own by now.
    elseif not rule then
      left[#left + 1] = follower
    else
      local account = b.account or ''
      purses_of[account] =
        write_settled(ns, id, b, rule, movement_of(ns, id, b, rule), purses_of[account], note, now, counts)
      booking.save(ns, id, b, now, keep_ms)
    end
  end
  return left
end

-- A booking that was only looked at, unless what is seen settles it. Answers whether that is all.
local function settle_check(ns, id, b, outcome, told, now, keep_ms, counts)
  if (b.check or '') == '' or not sweep.mend(ns, id, b, outcome, told, now, counts) then
    return false
  end
  booking.add_calls(b, told.calls)
  booking.save(ns, id, b, now, keep_ms)
  stats_write(ns, counts)
  return true
end

-- For how long (ms) a call may still run that nobody heard the answer of; a worker tells of its own as
-- `unfinished` ('1'), Redis of one that another worker left behind.
local function may_run_for(b, unfinished, now)
  if unfinished == '1' then
    booking.note_unfinished(b)
  end
  return math.max(0, (b.busy_until_ms or 0) - now)
end

-- Whether what Cal.com says now may not stay so: a confirm that still runs makes an accepted booking of a
-- cancelled one.
local function is_provisional(b, outcome)
  return b.state == 'accepting' and outcome ~= 'refused' and (outcome ~= 'accepted' or booking.is_withdrawn(b))
end

-- How long (ms) it took from the webhook to the outcome; -1 where that says nothing about us: the policy had put it
-- off, or a person had it tried again.
local function latency_of(b, now)
  return b.deferred and -1 or b.requeued_ms and -1 or math.max(0, now - (b.received_ms or now))
end

-- What a trace of the booking is made of: name, value, …
local function times_of(b)
  return {
    'received_ms', integer(b.received_ms or 0), 'queued_ms', integer(b.queued_ms or 0), 'decided_ms', integer(b.decided_ms or 0),
    'settled_ms', integer(b.settled_ms), 'requeued_ms', integer(b.requeued_ms or 0), 'decision', b.decision or '',
    'cost', integer(b.cost or 0), 'attempts', integer(b.attempts), 'takes', integer(b.takes), 'calls', b.calls or '',
  }
end

-- ARGV: id, token, outcome, keep_ms, note (an error text or what Cal.com said), covers (`series` when a
-- call acted on the whole series), calls (see booking.add_calls), unfinished (see may_run_for), members (see
-- settle_followers), then what else Cal.com told: option, value, … (see sweep.mend), and
--   times   given: the answer has them
-- Answers {'settled', state, latency (see latency_of; -1: it was final before)[, times (see times_of)]}, {'look'} (a cancel or reject came while our confirm was on its way: see
-- how Cal.com stands now), {'retry', delay} (our confirm may still run; see how Cal.com stands then),
-- {'queued'} (the same, and it was named again), {'parked', reason}, {'checked'} (it was only looked at) or {'stale'}.
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
  if outcome == 'pending' and (booking.goal(b) or 'look') ~= 'look' then
    error({ err = 'ERR tollgate: unknown outcome pending of what is not only looked at' })
  end
  local told = pairs_of(args, 10)
  told.calls = args[7]
  local checked = settle_check(ns, id, b, outcome, told, now, keep_ms, counts)
  if checked then
    return { 'checked' }
  elseif outcome == 'pending' then
    outcome = 'cancelled' -- not accepted is all that matters to a look
  end
  local busy_ms = may_run_for(b, args[8], now)
  if busy_ms > 0 and is_provisional(b, outcome) then
    booking.set(b, 'last_error', 'a call that was not answered may still run')
    booking.add_calls(b, args[7])
    local place = queue.put_down(ns, id, b, 'retry', now + busy_ms)
    booking.save(ns, id, b, now, keep_ms)
    return place == 'retry' and { 'retry', busy_ms } or { 'queued' }
  end
  local is_whole = args[6] == 'series' and booking.is_in_series(b)
  if is_whole and b.state == 'accepting' then
    series.note_confirmed(ns, b, now)
  end
  if b.state == 'accepting' and outcome == 'accepted' and booking.is_withdrawn(b) then
    return { 'look' }
  end

  local state = b.state
  local by_state = SETTLE[state]
  local rule = by_state and by_state[outcome]
  if not by_state and outcome == 'accepted' and state ~= 'accepted' and not b.successor then
    rule = RESURRECTED
  end
  local followers, waiting = series.companions(ns, id, b)
  local movement = rule and movement_of(ns, id, b, rule)
  local purses_of, message = {}, nil
  if movement then
    purses_of[b.account], message = credit.load_for(ns, b.account, movement.kind, movement.amount)
  end
  for _, follower in ipairs(followers) do
    local account = follower.b.account
    if account and not purses_of[account] and not message then
      purses_of[account], message = credit.load(ns, account)
    end
  end
  booking.add_calls(b, args[7])
  booking.survived(b)
  if message then
    queue.park(ns, id, b, now, message, counts)
  elseif rule then
    purses_of[b.account or ''] =
      write_settled(ns, id, b, rule, movement, purses_of[b.account or ''], note, now, counts)
    if is_whole and SETTLE[state] then
      local acted = { state = state, outcome = outcome, members = args[9] or '' }
      followers = settle_followers(ns, followers, acted, purses_of, note, now, keep_ms, counts)
    end
    series.pass_on(ns, followers, now, keep_ms)
    series.wake(ns, waiting, now, keep_ms)
    if rule.dead then
      queue.park(ns, id, b, now, note, counts)
    else
      -- A fact that was no news while the call was on its way may be one now.
      queue.put_down(ns, id, b, booking.needs_attention(b) and 'queue' or 'none')
    end
  elseif outcome == 'refused' then
    -- It cannot even be asked about, so asking again is no use.
    message = note
    queue.park(ns, id, b, now, message, counts)
  else
    if b.revived == '1' then
      booking.set(b, 'revived', '0')
    end
    booking.set(b, 'settled_ms', now)
    queue.put_down(ns, id, b, state == 'waiting' and 'queue' or 'none')
  end
  booking.save(ns, id, b, now, keep_ms)
  stats_write(ns, counts)
  if message then
    return { 'parked', message }
  end
  if not OPEN[state] or OPEN[b.state] then
    return { 'settled', b.state, -1 }
  end
  return { 'settled', b.state, latency_of(b, now), told.times and times_of(b) or nil }
end

-- ARGV: id, token, delay (ms), 1 when this counts as an attempt, keep_ms, why, calls, unfinished (see
-- may_run_for: it is not due before that call is over, since whoever takes it next may act)
-- Answers {'retry', delay}, {'queued'} (named again meanwhile), {'dead'}, {'checked'} (it was only to be
-- looked at, and its next turn in a sweep will do) or {'stale'}.
local function retry(keys, args)
  local ns = namespace(keys)
  local id, token, why = args[1], args[2], args[6] or ''
  local delay_ms, keep_ms = number_argument(args, 3, 'delay'), number_argument(args, 5, 'keep_ms')
  local now, counts = now_ms(), {}
  local b = in_hand(ns, id, token, counts)
  local answer = { 'stale' }
  if b then
    booking.add_calls(b, args[7])
    if (b.check or '') == '' then
      booking.set(b, 'last_error', why)
    end
    if args[4] == '1' and (b.check or '') == '' then
      booking.set(b, 'attempts', b.attempts + 1)
      booking.survived(b)
      stats_add(counts, 'retries')
    end
    delay_ms = math.max(delay_ms, may_run_for(b, args[8], now))
    local place
    local is_hopeless = gate.is_hopeless(ns, b, now)
    if (b.check or '') ~= '' and b.doubt == '2' and not is_hopeless then
      booking.set(b, 'check', '')
      booking.set(b, 'doubt', '1')
      place = queue.put_down(ns, id, b, 'retry', now + delay_ms)
    elseif (b.check or '') ~= '' then
      place = sweep.look_failed(ns, id, b, now + delay_ms)
    elseif is_hopeless then
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

-- ARGV: id, token, the series' name at Cal.com ('': it is in none), keep_ms, calls
-- Answers {'queued'}, {'retry', delay} (the others of the series are waited for) or {'stale'}.
local function join(keys, args)
  local ns = namespace(keys)
  local id, token, name = args[1], args[2], args[3]
  local keep_ms = number_argument(args, 4, 'keep_ms')
  local now, counts = now_ms(), {}
  local b = in_hand(ns, id, token, counts)
  local answer = { 'stale' }
  if b then
    booking.add_calls(b, args[5])
    booking.survived(b)
    local wait_ms = 0
    if name:match('^[%w_.:-]+$') and #name <= 80 and b.occurrences then
      wait_ms = series.join(ns, id, b, name, now, keep_ms)
    else
      booking.set(b, 'series', '-')
    end
    local place = queue.put_down(ns, id, b, wait_ms > 0 and 'retry' or 'queue', now + wait_ms)
    answer = place == 'retry' and { 'retry', integer(wait_ms) } or { 'queued' }
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
