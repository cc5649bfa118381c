-- A person decides a dead booking by hand, where the policy could not, or against it. Then it waits in the queue, and
-- Cal.com is asked for what the person wants.
--
--   it is                accept                                     reject
--   waiting (undecided)  decided; its cost is held                  decided
--   accepting            queued; it holds its cost already          what it holds is released, decided anew
--   rejecting            its cost is held, decided anew             queued, with the new reason
--   failed (Cal.com      as one that waits                          as one that waits
--   refused it)
--
-- It costs what the last decision said, else what the terms say. A booking that is one of several (a series, a slot with
-- seats), or that ended in Cal.com meanwhile, is refused: what has to be done there is not for one booking to say.

local rule = {}

do

local LONGEST_REASON = 500

local ANSWER = { accept = 'accepted', reject = 'rejected' }

-- Why a person cannot decide this booking so, but for its credit; nil: there is nothing against it.
function rule.refusal(b, accept, now)
  if not b.first_seen then
    return 'nobody has asked for it yet'
  elseif b.seat then
    return 'it is a seat of a slot; requeue or discard it'
  elseif booking.is_in_series(b) or booking.is_unidentified(b) or (b.lead or '') ~= '' then
    return 'it is one of a series, which is decided as a whole; requeue or discard it'
  elseif booking.is_withdrawn(b) then
    return 'it was cancelled, declined or rescheduled in Cal.com; requeue it, and it is settled as that'
  elseif not OPEN[b.state] and (b.state ~= 'failed' or booking.needs_attention(b)) then
    return 'it is ' .. b.state .. '; requeue or discard it'
  elseif (b.busy_until_ms or 0) > now then
    return 'a call to Cal.com may still be at it; try again in half a minute'
  elseif not accept and booking.is_accepted_by_hand(b) then
    return 'Cal.com says that it is accepted; requeue it, and it is settled as that'
  elseif accept and b.state == 'rejecting' and b.slot_of then
    return 'it asks for the same as ' .. b.slot_of .. ', and that counts'
  end
end

-- What it costs; nil and why that cannot be told.
local function cost_of(ns, b)
  if b.decision then
    return b.cost or 0
  end
  local terms = hash_get(ns .. 'terms') or {}
  local ran, cost = pcall(policy_tools.cost, b, terms)
  if not ran then
    return nil, 'the terms do not tell what it costs: ' .. tostring(cost)
  end
  return cost
end

-- There is a decision already, and it is what the person wants.
local function insist(b, op)
  if not op.accept then
    booking.set(b, 'reason', op.reason)
  end
end

local function rule_one(ns, id, b, op)
  local message = rule.refusal(b, op.accept, op.now)
  if message then
    return message
  end
  if b.state == (op.accept and 'accepting' or 'rejecting') then
    insist(b, op)
  else
    local cost, write
    cost, message = cost_of(ns, b)
    if not cost then
      return message
    end
    local batch = operate.batch(ns, op)
    batch.terms, batch.policy = hash_get(ns .. 'terms') or {}, { sha = '' }
    local verdict = { accept = op.accept, cost = cost, reason = op.reason, by = op.by }
    write, message = decide.plan_ruled(batch, id, b, verdict)
    if not write then
      return message
    end
    local may_be_confirmed = b.state == 'accepting' and b.act_ms ~= nil
    if b.state == 'failed' then
      operate.reopen(ns, id, b)
    end
    write()
    if may_be_confirmed or b.overruled then
      booking.set(b, 'overruled', may_be_confirmed and '1' or '0')
    end
  end
  operate.try_anew(b, ANSWER[op.what], op)
  queue.add(ns, id, b)
  booking.save(ns, id, b, op.now, op.keep_ms)
  stats_add(op.counts, 'ruled:' .. op.what)
  return ANSWER[op.what]
end

-- ARGV: by, note, keep_ms, accept or reject, reason (what the member is told of a "no"; of a yes it may be ''), then IDs
-- of dead bookings. Answers for each: accepted, rejected, not dead, unknown, or why it cannot be.
function rule.call(keys, args)
  local ns = namespace(keys)
  local by, note = operate.words_of(args, 1)
  local op = { by = by, note = note, keep_ms = number_argument(args, 3, 'keep_ms'), what = args[4], reason = args[5] or '' }
  if not ANSWER[op.what] then
    refuse('a booking is ruled by accept or reject, not by "' .. tostring(op.what):sub(1, 80) .. '"')
  end
  op.accept = op.what == 'accept'
  if op.accept and op.reason == '' then
    op.reason = 'accepted by ' .. by
  end
  if op.reason == '' or #op.reason > LONGEST_REASON or not json.is_text(op.reason) then
    refuse('the reason is what the member is told: 1 to ' .. LONGEST_REASON .. ' bytes of UTF-8 text')
  end
  return operate.for_each_dead(ns, args, 6, op, ANSWER[op.what], rule_one)
end

end
