-- The record of one booking, `{ns}:booking:<id>`. It holds facts, which only grow, and a state,
-- which moves as drawn:
--
--   waiting --decide--> accepting --Cal.com agrees--> accepted --cancelled--> cancelled (refunded)
--                |          `-- gone, cancelled, refused --> cancelled, rejected, failed (released)
--                `----> rejecting --Cal.com agrees--> rejected
--
-- An event is merged as a fact `<kind>_ms`: the newest createdAt of that kind. Merging is idempotent
-- and tolerates any order, because Cal.com sends no event ID, may send one event twice with two
-- createdAt, and promises no order.
--
-- Fields, beside the facts:
--   schema uid account email event_type start end reschedule_uid requires_confirmation cancelled_by
--   first_seen, first_ms   the event that made the booking (requested, created, rescheduled)
--   events                 how many kinds of event are known
--   received_ms            when the first of them reached us
--   state decision reason cost policy balance_before decided_ms settled_ms
--   held, charged          credits that this booking holds or has captured now
--   place                  queue, active, retry, dead or none (see queue)
--   token                  <worker>/<take number> of the newest take; every later step presents it
--   takes attempts         times taken; times it failed and was counted
--   taken_ms               when it was taken last
--   busy_until_ms          a worker left with it in hand: its call may run until then
--   again                  1: named again while in hand
--   unsupported            why this gate cannot decide it yet
--   last_error

local booking = {}

local NUMERIC = {
  'schema', 'start', 'end', 'first_ms', 'events', 'received_ms', 'cost', 'held', 'charged',
  'decided_ms', 'settled_ms', 'taken_ms', 'busy_until_ms', 'takes', 'attempts', 'requested_ms', 'created_ms', 'rescheduled_ms',
  'payment_ms', 'cancelled_ms', 'cancelled_received_ms', 'rejected_ms',
}

local OPEN = { waiting = true, accepting = true, rejecting = true }

local MAKING = { requested = true, created = true, rescheduled = true }

-- Every kind of event that `record` takes.
local KINDS = {
  requested = true, created = true, rescheduled = true, payment = true, cancelled = true, rejected = true,
}

function booking.load(ns, id)
  local b = hash_get(ns .. 'booking:' .. id)
  if not b then
    return nil
  end
  for _, field in ipairs(NUMERIC) do
    b[field] = tonumber(b[field])
  end
  b.changes = {}
  return b
end

function booking.set(b, field, value)
  b[field] = value
  b.changes[field] = value
end

function booking.new(now)
  local b = { changes = {} }
  booking.set(b, 'schema', SCHEMA)
  booking.set(b, 'state', 'waiting')
  booking.set(b, 'place', 'none')
  booking.set(b, 'events', 0)
  booking.set(b, 'takes', 0)
  booking.set(b, 'attempts', 0)
  booking.set(b, 'received_ms', now)
  return b
end

-- Writes what was set since the load, in one command. A record that is open and was asked for does
-- not expire; any other does, `keep_ms` after the later of its end and now.
function booking.save(ns, id, b, now, keep_ms)
  local key = ns .. 'booking:' .. id
  local flat = {}
  for field, value in pairs(b.changes) do
    flat[#flat + 1] = field
    flat[#flat + 1] = type(value) == 'number' and integer(value) or value
  end
  b.changes = {}
  if #flat == 0 then
    return
  end
  redis.call('HSET', key, unpack(flat))
  if OPEN[b.state] and b.first_seen then
    return
  end
  local expires = integer(math.max(now, (b['end'] or b.start or 0) * 1000) + keep_ms)
  redis.call('PEXPIREAT', key, expires)
  if b.uid then
    redis.call('PEXPIREAT', ns .. 'uid:' .. b.uid, expires)
  end
end

-- Merges one event. Answers false when it tells nothing new.
function booking.merge(b, kind, created_ms, now, fields)
  local fact = kind .. '_ms'
  local known = b[fact]
  if known and known >= created_ms then
    return false
  end
  booking.set(b, fact, created_ms)
  if not known then
    booking.set(b, 'events', b.events + 1)
  end
  if kind == 'cancelled' then
    booking.set(b, 'cancelled_received_ms', now)
  end
  for field, value in pairs(fields) do
    -- In confirm and cancel events requires_confirmation is the event type's setting, not the
    -- booking's: only an event that makes a booking may tell it.
    if b[field] == nil and (field ~= 'requires_confirmation' or MAKING[kind]) then
      booking.set(b, field, value)
    end
  end
  if MAKING[kind] and (not b.first_ms or created_ms < b.first_ms) then
    booking.set(b, 'first_seen', kind)
    booking.set(b, 'first_ms', created_ms)
  end
  return true
end

-- The guide's flow: the event type needs no confirmation, so Cal.com has accepted the booking
-- already, and a "no" cancels it.
function booking.is_guide(b)
  return b.first_seen == 'created' and b.requires_confirmation ~= 'yes'
end

-- Accepted at Cal.com by somebody else: the host by hand, or a reschedule that needs no confirmation.
function booking.is_accepted_by_hand(b)
  return b.rescheduled_ms ~= nil or (b.created_ms ~= nil and not booking.is_guide(b))
end

-- Cancelled or declined at Cal.com. On an open booking this forbids to confirm it, whatever came
-- after: a newer BOOKING_CREATED may be the echo of our own confirm, which resurrects.
function booking.is_withdrawn(b)
  return b.cancelled_ms ~= nil or b.rejected_ms ~= nil
end

-- The same of an accepted booking, where a newer BOOKING_CREATED is the host's last word.
function booking.is_withdrawn_for_good(b)
  local withdrawn_ms = math.max(b.cancelled_ms or 0, b.rejected_ms or 0)
  return withdrawn_ms > 0 and withdrawn_ms >= (b.created_ms or 0)
end

-- A final "no", and a BOOKING_CREATED newer than any word of Cal.com's about it: the host's late yes,
-- or one that crossed our call. Only Cal.com's own times are compared. The event that made the booking
-- is none, unless it comes after such a word.
local function is_resurrected(b)
  local withdrawn_ms = math.max(b.rejected_ms or 0, b.cancelled_ms or 0)
  local made_it = b.first_seen == 'created' and b.created_ms == b.first_ms
  return b.created_ms ~= nil and b.created_ms > withdrawn_ms and (withdrawn_ms > 0 or not made_it)
end

-- Whether a worker has something to do for this booking, given what is known now.
function booking.needs_attention(b)
  if b.state == 'waiting' then
    return b.first_seen ~= nil
  elseif OPEN[b.state] then
    return true
  elseif b.state == 'accepted' then
    return booking.is_withdrawn_for_good(b)
  end
  return is_resurrected(b)
end

-- Whether an event of this kind, just merged, is news to whoever handles the booking. The rest is an
-- echo of our own call or repeats what is being done anyway.
function booking.is_news(b, kind)
  if b.state == 'accepting' then
    return kind == 'cancelled' or kind == 'rejected'
  elseif b.state == 'rejecting' then
    return kind == 'created' and b.first_seen ~= 'created'
  end
  return booking.needs_attention(b)
end

-- What a worker has to bring about at Cal.com, or nil when there is nothing to do there:
--   accept    confirm it             reject    decline it with the reason
--   withdraw  see that our confirm did not win against a cancel or reject that came meanwhile
--   look      only see how it stands
function booking.goal(b)
  if b.state == 'accepting' then
    return booking.is_withdrawn(b) and 'withdraw' or 'accept'
  elseif b.state == 'rejecting' then
    return 'reject'
  elseif not OPEN[b.state] and b.state ~= 'accepted' and is_resurrected(b) then
    return 'look'
  end
end

-- Moves an open or accepted booking into a final state.
function booking.close(ns, id, b, state, now, counts)
  booking.set(b, 'state', state)
  booking.set(b, 'settled_ms', now)
  redis.call('HSET', ns .. 'done', id, state)
  stats_add(counts, 'settled:' .. state)
end
