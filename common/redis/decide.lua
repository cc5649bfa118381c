-- Deciding one booking: planned first, against the accounts as planned so far; then written.

local decide = {}

-- See series.lua.
local series = {}

-- Lua allows 200 local names at a time, over all parts: what only this one needs ends with it.
do

-- ---- Rescheduled bookings ----

-- Cal.com makes a new booking and cancels the old one, without telling so of the old one. What the old
-- one held or was charged goes over to the new one, in one step with the new one's decision. Answers
--   nil                   there is nothing to take over
--   {wait = ms}           the old one is in flight; its credits cannot be told yet
--   {id, b, kind, amount} the old booking and its credits; `kind` is the movement that takes them over,
--                         `back` the one that gives them back
local function predecessor(batch, id, b)
  if not b.reschedule_uid or b.reschedule_uid == b.uid then
    return nil
  end
  local old_id = seats.resolve(batch.ns, redis.call('GET', batch.ns .. 'uid:' .. b.reschedule_uid), b.email, id)
  if not old_id or old_id == id then
    b.look_first = true
    return nil
  elseif batch.named[old_id] or batch.touched[old_id] then
    return { wait = 0 }
  end
  local old = batch.load(old_id)
  if not old then
    return nil
  elseif old.place == 'active' or old.state == 'accepting'
    or (old.state == 'waiting' and old.successor and old.first_seen)
  then
    return { wait = WAIT_MS }
  end
  local held, charged = old.held or 0, old.charged or 0
  if old.state == 'rejecting' or (held + charged == 0 and old.state ~= 'accepted') then
    return nil
  end
  if held > 0 then
    return { id = old_id, b = old, amount = held, kind = 'move_held', back = 'release' }
  end
  return { id = old_id, b = old, amount = charged, kind = 'move', back = 'refund' }
end

-- The old booking is over; its credits are where the movements beside this put them, or stay (`kept`).
local function write_predecessor(batch, heir, old, reason, kept)
  if not old then
    return
  end
  if not kept then
    booking.set(old.b, 'held', 0)
    booking.set(old.b, 'charged', 0)
  end
  booking.set(old.b, 'reason', reason)
  if old.b.state == 'accepted' then
    booking.close(batch.ns, old.id, old.b, 'cancelled', batch.now, batch.counts)
    queue.add_crossed(batch.ns, old.id, old.b, heir)
  end
  booking.save(batch.ns, old.id, old.b, batch.now, batch.keep_ms)
end

local function give_back(movements, old, note)
  if old then
    accounts.add(movements, old.b.account, old.back, old.amount, { booking = old.id, note = note })
  end
end

-- Takes over what the old booking has, up to `cost`; gives the rest back. Answers how much was taken.
local function take_over(movements, id, old, cost)
  local taken = math.min(old.amount, cost)
  accounts.add(movements, old.b.account, old.kind, taken,
    { booking = id, from = old.id, note = 'rescheduled from ' .. old.id })
  accounts.add(movements, old.b.account, old.back, old.amount - taken,
    { booking = old.id, note = 'rescheduled to ' .. id .. ', which costs less' })
  return taken
end

-- ---- Twins ----

-- One click may make several bookings (Cal.com issue 13548). The first of an account for an event type
-- and start claims the slot. Answers the ID of the one that claimed it, when this one is its twin; else
-- nil and the slot to claim.
-- A seat has a slot of its own, a reschedule one more than was asked for: neither is a twin.
local function twin_of(batch, id, b)
  if not b.account or not b.event_type or not b.start or b.reschedule_uid or b.seat then
    return nil
  end
  local slot = b.event_type .. ':' .. integer(b.start) .. ':' .. b.account
  local first_id = batch.slots[slot] or redis.call('GET', batch.ns .. 'slot:' .. slot)
  local first = first_id and first_id ~= id and batch.load(first_id)
  if first and math.abs(first.first_ms - b.first_ms) <= TWIN_MS and not first.slot_of
    and (first.state == 'observed' and first.decision == 'accept' or first.state == 'accepted' or OPEN[first.state])
    and not booking.is_withdrawn(first)
  then
    return first_id
  end
  batch.slots[slot] = id
  return nil, slot
end

function decide.claim(batch, id, b, slot)
  if slot then
    redis.call('SET', batch.ns .. 'slot:' .. slot, id, 'PXAT',
      integer(booking.kept_until(b.start, batch.now, batch.keep_ms)))
  end
end

-- ---- The verdict ----

-- How many other bookings the account holds or has, not over yet.
local function count_open(batch, b, old)
  if not b.account then
    return 0
  end
  local key = batch.ns .. 'open:' .. b.account
  local count = redis.call('ZCOUNT', key, '(' .. integer(math.floor(batch.now / 1000)), '+inf')
  if old and redis.call('ZSCORE', key, old.id) then
    count = count - 1
  end
  return count + (batch.opened[b.account] or 0)
end

-- The account as the policy was shown it, as JSON: what a decision rested on.
local function account_json(account)
  if not account then
    return 'null'
  end
  local shown = {}
  for field, value in pairs(account) do
    shown[field] = type(value) == 'number' and integer(value) or value
  end
  return cjson.encode(shown)
end

-- Asks the policy. Answers a verdict, or nil and why there is none. `old` is the booking that this one
-- replaces: its credits count as the member's.
local function ask(batch, id, b, old, occurrence, occurrences)
  local account, message
  if b.account then
    account, message = accounts.of(batch, b.account)
  end
  if message then
    return nil, message
  end
  local given_back = {}
  if old then
    give_back(given_back, old, '')
    message = accounts.plan(batch, given_back)
    if message then
      return nil, message
    end
  end
  local verdict
  local circumstances = {
    reschedule = old ~= nil, occurrence = occurrence or 1, occurrences = occurrences or 1,
    open = count_open(batch, b, old),
  }
  verdict, message =
    policy_host.decide(batch.policy, id, b, account, batch.terms, batch.now, circumstances)
  if verdict then
    verdict.circumstances = cjson.encode(circumstances)
    verdict.balance = account and account.balance or ''
    verdict.account_was = account_json(account)
  end
  accounts.undo(batch, given_back)
  return verdict, message
end

-- What terms are known by, and their JSON, in which the names are in order.
function decide.sha_of_terms(terms)
  local names = {}
  for name in pairs(terms) do
    names[#names + 1] = name
  end
  table.sort(names)
  local parts = {}
  for i, name in ipairs(names) do
    parts[i] = cjson.encode(name) .. ':' .. cjson.encode(terms[name])
  end
  local text = '{' .. table.concat(parts, ',') .. '}'
  return redis.sha1hex(text), text
end

local function terms_sha(batch)
  if not batch.terms_sha then
    local sha, text = decide.sha_of_terms(batch.terms)
    batch.terms_sha = sha
    redis.call('HSETNX', batch.ns .. 'terms_seen', sha, text)
  end
  return batch.terms_sha
end

-- What is told of a decision that a person made, in the record and the list of decisions. It stands until the next.
local function write_by(b, verdict, entry)
  if verdict.by then
    entry[#entry + 1] = 'by'
    entry[#entry + 1] = verdict.by
  end
  booking.set(b, 'ruled_by', verdict.by or '')
end

-- Writes what was decided; nothing of it moves credit. Decisions are counted by outcome and class, see
-- DECISIONS in overview.lua.
function decide.write(batch, id, b, verdict, state)
  local decision = verdict.accept and 'accept' or 'reject'
  booking.set(b, 'decision', decision)
  booking.set(b, 'reason', verdict.reason)
  booking.set(b, 'cost', verdict.cost)
  booking.set(b, 'held', 0)
  booking.set(b, 'charged', 0)
  booking.set(b, 'policy', batch.policy.sha)
  booking.set(b, 'balance_before', verdict.balance)
  booking.set(b, 'decided_ms', batch.now)
  if verdict.account_was then
    booking.set(b, 'account_was', verdict.account_was)
    booking.set(b, 'circumstances', verdict.circumstances)
    booking.set(b, 'terms', terms_sha(batch))
  end
  stats_add(batch.counts, 'decided:' .. decision)
  local by_hand = verdict.by or booking.is_accepted_by_hand(b)
  local class = state == 'observed' and 'observe' or by_hand and 'hand' or verdict.class
  stats_add(batch.counts, 'decided:' .. decision .. ':' .. class)
  local entry = { 'booking', id, 'account', b.account or '', 'event_type', b.event_type or '', 'decision', decision,
    'cost', integer(verdict.cost), 'reason', verdict.reason }
  if verdict.by or b.ruled_by then
    write_by(b, verdict, entry)
  end
  redis.call('XADD', batch.ns .. 'decisions', 'MAXLEN', '~', DECISIONS_KEPT, '*', unpack(entry))
  if state == 'observed' then
    booking.close(batch.ns, id, b, 'observed', batch.now, batch.counts)
  else
    booking.set(b, 'state', state)
  end
end

local function twin_verdict(batch, first_id)
  return {
    accept = false, cost = batch.load(first_id).cost or 0, balance = '', class = 'twin',
    reason = 'You asked for this time twice; your first request counts.',
  }
end

-- The booking's verdict: a twin is rejected, the policy decides any other, and one that Cal.com accepted
-- `by_hand`. Answers {verdict, message (why there is none), first_id (it is that one's twin), slot (it
-- claims)}. `old`, `occurrence` and `occurrences`: see ask.
function decide.judge(batch, id, b, by_hand, old, occurrence, occurrences)
  local first_id, slot = twin_of(batch, id, b)
  if first_id and not by_hand then
    return { verdict = twin_verdict(batch, first_id), first_id = first_id }
  end
  local verdict, message = ask(batch, id, b, old, occurrence, occurrences)
  return { verdict = verdict, message = message, slot = slot }
end

-- What an accepted booking holds from now on; the movement stands beside.
function decide.write_held(batch, id, b, held)
  booking.set(b, 'held', held)
  booking.note_open(batch.ns, id, b, true, batch.now)
end

-- The movements of an accepted booking's hold.
function decide.add_hold(movements, id, b, verdict, old)
  local taken = old and take_over(movements, id, old, verdict.cost) or 0
  accounts.add(movements, b.account, 'hold', verdict.cost - taken, { booking = id, note = verdict.reason })
end

-- Puts the decision off; nothing is known yet but when to ask again.
function decide.put_off(batch, id, b, delay_ms, reason)
  if reason then
    booking.set(b, 'reason', reason)
    booking.set(b, 'deferred', (b.deferred or 0) + 1)
    stats_add(batch.counts, 'decided:defer:policy')
  end
  queue.put_down(batch.ns, id, b, 'retry', batch.now + delay_ms)
end

-- A writer for what cannot be done while observing: it touches credit, or Cal.com.
function decide.leave_be(batch, id, b)
  return function()
    booking.set(b, 'last_error', 'TOLLGATE_MODE=observe: nothing is acted on')
    decide.put_off(batch, id, b, OBSERVE_AGAIN_MS)
  end
end

-- A writer that parks the booking.
function decide.parker(batch, id, b, message)
  return function()
    queue.park(batch.ns, id, b, batch.now, message, batch.counts)
  end
end

-- ---- Withdrawn before it was decided ----

-- Cancelled by the host, or declined: always refunded. By the member: if it was early enough.
function decide.is_refundable(batch, b)
  if not b.cancelled_ms or not b.cancelled_by or b.cancelled_by ~= b.email or not b.start then
    return true
  end
  local notice_ms = (tonumber(batch.terms.refund_notice_hours) or 24) * 3600000
  return b.start * 1000 - math.min(b.cancelled_ms, b.cancelled_received_ms) >= notice_ms
end

-- Rescheduled twice before it was decided: what the first booking has goes to the last.
local function write_link(batch, b, old)
  local last = batch.load(b.successor)
  booking.set(last, 'reschedule_uid', old.b.uid)
  booking.save(batch.ns, b.successor, last, batch.now, batch.keep_ms)
  booking.set(old.b, 'successor', b.successor)
  booking.save(batch.ns, old.id, old.b, batch.now, batch.keep_ms)
end

local function plan_withdrawn(batch, id, b, old)
  local state = b.rejected_ms and not b.cancelled_ms and 'rejected' or 'cancelled'
  local why = b.successor and not b.cancelled_ms and not b.rejected_ms and 'rescheduled' or state
  local movements, reason = {}, why .. ' in Cal.com before it was decided; nothing is charged'
  local last = old and why == 'rescheduled' and old.b.uid and batch.load(b.successor)
  local linked = last and last.state == 'waiting'
  local kept = old and not linked and old.back == 'refund' and not decide.is_refundable(batch, b)
  local old_reason = 'rescheduled to ' .. id .. ', which was ' .. why
  if linked then
    reason = 'rescheduled in Cal.com before it was decided'
  elseif kept then
    reason = why .. ' too late for a refund; what ' .. old.id .. ' was charged is kept'
    old_reason = old_reason .. ' too late for a refund; ' .. integer(old.amount) .. ' kept'
  else
    give_back(movements, old, why .. ' after it was rescheduled')
    old_reason = old_reason .. '; refunded'
  end
  local message = accounts.plan(batch, movements)
  if message then
    return decide.parker(batch, id, b, message)
  end
  return function()
    accounts.write(batch, movements)
    if linked then
      write_link(batch, b, old)
    else
      write_predecessor(batch, b, old, old_reason, kept)
    end
    booking.set(b, 'reason', reason)
    booking.close(batch.ns, id, b, state, batch.now, batch.counts)
    if b.successor then
      queue.wake(batch.ns, b.successor)
    end
  end
end

-- A person discards an undecided booking: nothing is charged, and what the one that it replaces has is given
-- back. Answers a writer, or nil and why that cannot be.
function decide.plan_discarded(batch, id, b, by)
  local old, movements = predecessor(batch, id, b), {}
  if old and not old.wait then
    accounts.add(movements, old.b.account, old.back, old.amount,
      { booking = old.id, by = by, note = 'the reschedule to ' .. id .. ' was discarded' })
  else
    old = nil
  end
  local message = accounts.plan(batch, movements)
  if message then
    return nil, message
  end
  return function()
    accounts.write(batch, movements)
    write_predecessor(batch, b, old, 'rescheduled to ' .. id .. ', which was discarded; nothing is charged')
    booking.set(b, 'reason', 'discarded by ' .. by .. ' before it was decided; nothing is charged')
    booking.close(batch.ns, id, b, 'failed', batch.now, batch.counts)
  end
end

-- ---- Decided ----

-- Accepted by hand before we decided: charged if the credit is there, else waived. What the booking
-- that it replaces was charged counts in either case.
local function plan_by_hand(batch, id, b, verdict, old)
  local movements, charged = {}, 0
  local note = 'accepted in Cal.com by hand'
  if verdict.accept then
    decide.add_hold(movements, id, b, verdict, old)
    charged = verdict.cost
  elseif old then
    charged = take_over(movements, id, old, verdict.cost)
  end
  accounts.add(movements, b.account, 'capture', charged, { booking = id, note = note })
  accounts.add(movements, b.account, 'waive', verdict.cost - charged, { booking = id, note = verdict.reason })
  return movements, function()
    booking.set(b, 'charged', b.account and charged or 0)
    booking.close(batch.ns, id, b, 'accepted', batch.now, batch.counts)
  end
end

-- A writer for a verdict on one booking, or nil and why its movements cannot be.
local function plan_verdict(batch, id, b, verdict, old)
  local movements, finish = {}, nil
  if booking.is_accepted_by_hand(b) then
    movements, finish = plan_by_hand(batch, id, b, verdict, old)
  elseif verdict.accept then
    decide.add_hold(movements, id, b, verdict, old)
  else
    give_back(movements, old, 'the reschedule to ' .. id .. ' was rejected')
  end
  local message = accounts.plan(batch, movements)
  if message then
    return nil, message
  end
  return function()
    decide.write(batch, id, b, verdict, verdict.accept and 'accepting' or 'rejecting')
    accounts.write(batch, movements)
    write_predecessor(batch, b, old, 'rescheduled to ' .. id)
    if finish then
      finish()
    elseif verdict.accept then
      decide.write_held(batch, id, b, b.account and verdict.cost or 0)
    end
  end
end

-- Another account cannot take the credits over: the old booking is refunded, the new one stands alone.
local function plan_stranger(batch, id, b, old)
  local movements = {}
  give_back(movements, old, 'rescheduled to ' .. id .. ' of another account')
  local message = accounts.plan(batch, movements)
  return message, function()
    accounts.write(batch, movements)
    write_predecessor(batch, b, old, 'rescheduled to ' .. id .. ' of another account; refunded')
  end
end

-- What a person wants of an undecided booking, of one that was rejected, or of one that is to be accepted; see rule.
-- Answers a writer, or nil and why that cannot be.
function decide.plan_ruled(batch, id, b, verdict)
  local account, message = nil, nil
  if b.account then
    account, message = accounts.of(batch, b.account)
  end
  if not message and verdict.accept and verdict.cost > 0 and not account then
    message = b.account and 'there is no account ' .. b.account or 'it names no account that could pay'
  end
  local old = (b.state == 'waiting' or b.state == 'failed') and predecessor(batch, id, b) or nil
  local first_id, slot = twin_of(batch, id, b)
  if old and old.wait then
    message = 'the booking that it replaces is in flight; try again when that is settled'
  elseif first_id and verdict.accept then
    message = 'it asks for the same as ' .. first_id .. ', and that counts'
  end
  if message then
    return nil, message
  end
  local movements, stranger = {}, nil
  if old and old.b.account ~= b.account then
    message, stranger = plan_stranger(batch, id, b, old)
    old = nil
  end
  verdict.balance = account and account.balance or ''
  verdict.account_was, verdict.circumstances = account_json(account), b.circumstances or '{}'
  if verdict.accept then
    decide.add_hold(movements, id, b, verdict, old)
  else
    accounts.add(movements, b.account, 'release', b.held or 0, { booking = id, note = verdict.reason })
    give_back(movements, old, 'the reschedule to ' .. id .. ' was rejected')
  end
  for _, movement in ipairs(movements) do
    movement.entry.by = verdict.by
  end
  local had = account and account.balance
  message = message or accounts.plan(batch, movements)
  if not message and verdict.accept and account and account.balance < 0 and account.balance < had then
    message = 'it costs ' .. integer(verdict.cost) .. ', and the balance of ' .. b.account .. ' is ' .. integer(had)
  end
  return not message and function()
    if stranger then
      stranger()
    end
    decide.claim(batch, id, b, verdict.accept and slot or nil)
    accounts.write(batch, movements)
    booking.note_open(batch.ns, id, b, false, batch.now)
    decide.write(batch, id, b, verdict, verdict.accept and 'accepting' or 'rejecting')
    write_predecessor(batch, b, old, 'rescheduled to ' .. id)
    if verdict.accept then
      decide.write_held(batch, id, b, b.account and verdict.cost or 0)
    end
  end, message
end

local function plan_observed(batch, id, b)
  local judged = decide.judge(batch, id, b, false)
  local verdict = judged.verdict
  if not verdict then
    return decide.parker(batch, id, b, judged.message)
  end
  return function()
    if verdict.defer then
      decide.put_off(batch, id, b, verdict.defer * 1000, verdict.reason)
      return
    end
    decide.claim(batch, id, b, judged.slot)
    decide.write(batch, id, b, verdict, 'observed')
  end
end

-- Plans an undecided booking. Answers a writer; nil when there is nothing to write.
function decide.plan(batch, id, b)
  local old = predecessor(batch, id, b)
  if old and batch.observe then
    return decide.leave_be(batch, id, b)
  elseif old and old.wait then
    if booking.is_withdrawn(b) and old.wait > 0 then
      return plan_withdrawn(batch, id, b)
    end
    return function()
      decide.put_off(batch, id, b, old.wait)
    end
  end
  if old then
    batch.touched[old.id] = true
  end
  if booking.is_withdrawn(b) then
    return plan_withdrawn(batch, id, b, old)
  elseif batch.observe then
    return plan_observed(batch, id, b)
  elseif booking.is_unidentified(b) then
    return nil
  elseif booking.is_in_series(b) and not b.reschedule_uid then
    return series.plan(batch, id, b)
  end

  local stranger
  if old and old.b.account ~= b.account then
    local message
    message, stranger = plan_stranger(batch, id, b, old)
    if message then
      return decide.parker(batch, id, b, message)
    end
    old = nil
  end
  local judged = decide.judge(batch, id, b, booking.is_accepted_by_hand(b), old)
  local verdict, message, write = judged.verdict, judged.message, nil
  if verdict and not verdict.defer then
    write, message = plan_verdict(batch, id, b, verdict, old)
  end
  if verdict and verdict.accept and b.account then
    batch.opened[b.account] = (batch.opened[b.account] or 0) + 1
  end
  return function()
    if stranger then
      stranger()
    end
    decide.claim(batch, id, b, judged.slot)
    if message then
      queue.park(batch.ns, id, b, batch.now, message, batch.counts)
    elseif verdict.defer then
      decide.put_off(batch, id, b, verdict.defer * 1000, verdict.reason)
    else
      write()
    end
    if judged.first_id then
      booking.set(b, 'slot_of', judged.first_id)
    end
  end
end

end
