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
--   queued_ms              when it came into the queue last
--   token                  <worker>/<take number> of the newest take; every later step presents it
--   takes attempts         times taken; times it failed and was counted
--   taken_ms               when it was taken last
--   act_ms                 when a call that changes the booking at Cal.com began last
--   busy_until_ms          nobody knows what became of that call: it may run until then
--   deaths, solo_deaths    workers that died with it in hand; those that had nothing else in hand
--   solo                   1: taken alone, because it was in hand when two workers died
--   again                  1: named again while in hand
--   seats                  yes: several people can book the slot
--   seat                   Cal.com's ID of the seat, where the webhook told one
--   successor              the booking that replaces this one in Cal.com (it was rescheduled)
--   revived                1: it was rescheduled, but our confirm may have come later; it is to be cancelled there
--   doubt                  accepted, and of a cancel that is no newer than that yes we heard later. 1: it is to be
--                          looked at in a while, 2: it is looked at, 0: no more
--   slot_of                the first of several requests by one click, of which this is a later one
--   occurrences            how many bookings the series has that this one belongs to
--   series                 Cal.com's name of that series once it was looked up; '-': it has none
--   lead                   the booking of the series that is asked for in place of this one
--   waited_for             the booking of the series that had to be answered before this one, if any
--   answers, metadata      what the booker answered and the page added (JSON), if the policy reads them
--   account_was, terms     what the decision rested on: the account (JSON), the SHA of the terms,
--   circumstances          and what else the policy was shown (JSON; see policy_host.decide)
--   deferred               how often the policy put the decision off
--   calls                  the newest calls to Cal.com: `<began ms> <took ms> <call> <status> <class> <detail>`
--   traceparent            the trace that the webhook came in by (W3C Trace Context), if it did
--   found_ms               when a sweep found it, for no webhook had told of it
--   check                  it is only to be looked at, and then goes back: `none` or `dead <since ms>`; '': no
--   look_tries             how many of these looks failed
--   last_error
--   mended                 what a person did when it was dead: `<ms> <requeued, discarded, accepted or rejected> <by>
--                          <note> <why it was dead>`, between tabs
--   requeued_ms            when that was done last, to have it tried again
--   ruled_by               who decided it by hand; '': the policy did
--   overruled              1: it was to be accepted, and a person rejects it; our confirm may have won before

local booking = {}

-- See sweep.lua.
local sweep = {}

local NUMERIC = {
  schema = true, start = true, ['end'] = true, first_ms = true, occurrences = true, deferred = true,
  events = true, received_ms = true, cost = true, held = true, charged = true, decided_ms = true,
  settled_ms = true, taken_ms = true, act_ms = true, busy_until_ms = true, deaths = true, solo_deaths = true,
  takes = true, attempts = true, requested_ms = true, created_ms = true, rescheduled_ms = true,
  payment_ms = true, cancelled_ms = true, cancelled_received_ms = true, rejected_ms = true, requeued_ms = true,
  found_ms = true, queued_ms = true, look_tries = true,
}

local OPEN = { waiting = true, accepting = true, rejecting = true }

local MAKING = { requested = true, created = true, rescheduled = true }

-- Every kind of event that `record` takes.
local KINDS = {
  requested = true, created = true, rescheduled = true, payment = true, cancelled = true, rejected = true,
}

-- The record with its numbers as such; nil when there is none, or nil and an error text when that is no hash.
function booking.load(ns, id)
  local b, message = hash_get(ns .. 'booking:' .. id)
  if not b then
    return nil, message
  end
  for field in pairs(NUMERIC) do
    local text = b[field]
    if text then
      b[field] = number_of(text)
    end
  end
  b.changes = {}
  return b
end

function booking.set(b, field, value)
  b[field] = value
  b.changes[field] = value
end

-- Adds lines (oldest first) to a field of which the newest `kept` are remembered.
function booking.add_lines(b, field, added, kept)
  local lines = {}
  for line in ((b[field] or '') .. '\n' .. added):gmatch('[^\n]+') do
    lines[#lines + 1] = line
  end
  booking.set(b, field, table.concat(lines, '\n', math.max(1, #lines - kept + 1)))
end

-- Adds calls to Cal.com (lines, oldest first; '' or nil: none).
function booking.add_calls(b, calls)
  if calls and calls ~= '' then
    booking.add_lines(b, 'calls', calls, CALLS_KEPT)
  end
end

-- Nothing of it is in Redis yet: it is its own changes.
function booking.new(received_ms)
  local b = {
    schema = SCHEMA, state = 'waiting', place = 'none', events = 0, takes = 0, attempts = 0, received_ms = received_ms,
  }
  b.changes = b
  return b
end

-- Until when (ms) is kept what is over at `over_s`.
function booking.kept_until(over_s, now, keep_ms)
  return math.max(now, (over_s or 0) * 1000) + keep_ms
end

-- Writes what was set since the load, in one command. A record that is open and was asked for does
-- not expire; any other does, `keep_ms` after the later of its end and now.
function booking.save(ns, id, b, now, keep_ms)
  local key = ns .. 'booking:' .. id
  if b.changes.state or b.changes.first_seen then
    sweep.keep_known(ns, id, b, now)
  end
  local flat, count = {}, 0
  for field, value in pairs(b.changes) do
    if field ~= 'changes' then
      flat[count + 1] = field
      flat[count + 2] = NUMERIC[field] and integer(value) or value
      count = count + 2
    end
  end
  if count == 0 then
    return
  end
  b.changes = {}
  redis.call('HSET', key, unpack(flat))
  if OPEN[b.state] and b.first_seen then
    return
  end
  local expires = integer(booking.kept_until(b['end'] or b.start, now, keep_ms))
  redis.call('PEXPIREAT', key, expires)
  for _, uid in ipairs({ b.uid or '', b.seat }) do
    redis.call('PEXPIREAT', ns .. 'uid:' .. uid, expires)
  end
end

-- Merges one event. Answers false when it tells nothing new.
function booking.merge(b, kind, created_ms, received_ms, fields)
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
    booking.set(b, 'cancelled_received_ms', received_ms)
  end
  local changes = b.changes
  for field, value in pairs(fields) do
    -- In confirm and cancel events requires_confirmation is the event type's setting, not the
    -- booking's: only an event that makes a booking may tell it.
    if b[field] == nil and (field ~= 'requires_confirmation' or MAKING[kind]) then
      b[field], changes[field] = value, value
    end
  end
  if MAKING[kind] and (not b.first_ms or created_ms < b.first_ms) then
    booking.set(b, 'first_seen', kind)
    booking.set(b, 'first_ms', created_ms)
  end
  return true
end

-- The guide's flow: the event type needs no confirmation, so Cal.com has accepted the booking
-- already, and a "no" cancels it. A seat in a slot that was accepted before is let in without asking,
-- whatever the event type says (Cal.com: handleSeats.ts).
function booking.is_guide(b)
  return b.first_seen == 'created' and (b.seat ~= nil or b.requires_confirmation ~= 'yes')
end

-- Accepted at Cal.com by somebody else: the host by hand, or a reschedule that needs no confirmation.
function booking.is_accepted_by_hand(b)
  return b.rescheduled_ms ~= nil or (b.created_ms ~= nil and not booking.is_guide(b))
end

-- Cancelled, declined or rescheduled at Cal.com. On an open booking this forbids to confirm it, whatever came
-- after: a newer BOOKING_CREATED may be the echo of our own confirm, which resurrects.
function booking.is_withdrawn(b)
  return b.cancelled_ms ~= nil or b.rejected_ms ~= nil or b.successor ~= nil
end

-- The same of an accepted booking, where a newer BOOKING_CREATED is the host's last word.
function booking.is_withdrawn_for_good(b)
  local withdrawn_ms = math.max(b.cancelled_ms or 0, b.rejected_ms or 0)
  return withdrawn_ms > (b.created_ms or 0)
end

-- A final "no", and a BOOKING_CREATED newer than any word of Cal.com's about it: the host's late yes,
-- or one that crossed our call. Only Cal.com's own times are compared. The event that made the booking
-- is none, unless it comes after such a word.
local function is_resurrected(b)
  if b.state == 'observed' or b.successor then
    return false
  end
  local withdrawn_ms = math.max(b.rejected_ms or 0, b.cancelled_ms or 0)
  local made_it = b.first_seen == 'created' and b.created_ms == b.first_ms
  return b.created_ms ~= nil and b.created_ms > withdrawn_ms and (withdrawn_ms > 0 or not made_it)
end

-- Decided, or accepted by the host, so that it takes nothing over any more from the one it replaces.
function booking.stands_alone(b)
  return b.state ~= 'observed' and (b.decision ~= nil or b.state == 'accepted')
end

-- Over before it came to a decision.
function booking.was_never_decided(b)
  return not b.decision and (b.state == 'cancelled' or b.state == 'rejected')
end

-- Whether a worker has something to do for this booking, given what is known now.
function booking.needs_attention(b)
  if b.state == 'waiting' then
    return b.first_seen ~= nil
  elseif OPEN[b.state] then
    return true
  elseif b.state == 'accepted' then
    return booking.is_withdrawn_for_good(b) or b.doubt == '1'
  end
  return b.revived == '1' or is_resurrected(b)
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

-- One of a series that was not looked up yet: a webhook does not name its series. A rescheduled one that
-- nobody has to be asked for needs none.
function booking.is_unidentified(b)
  return (b.occurrences or 1) > 1 and not b.series and not booking.is_withdrawn(b)
    and not (b.reschedule_uid and booking.is_accepted_by_hand(b))
end

-- One of several of a series that is known.
function booking.is_in_series(b)
  return b.series ~= nil and b.series ~= '-'
end

-- What a worker has to bring about at Cal.com, or nil when there is nothing to do there:
--   accept    confirm it             reject    decline it with the reason
--   withdraw  see that our confirm did not win against a cancel, reject or reschedule that came meanwhile
--   look      only see how it stands
--   identify  see which series it is one of
-- A booking of a series with a lead is not acted on: what is asked for the lead counts for all.
function booking.goal(b)
  if (b.check or '') ~= '' then
    return 'look'
  elseif b.revived == '1' or (b.state == 'accepting' and booking.is_withdrawn(b)) then
    return 'withdraw'
  elseif OPEN[b.state] and (b.lead or '') ~= '' then
    return nil
  elseif b.state == 'accepting' then
    return 'accept'
  elseif b.state == 'rejecting' then
    -- A seat's own status cannot be seen; what the host told us about it is all there is.
    return b.seat and booking.is_accepted_by_hand(b) and 'look' or 'reject'
  elseif b.state == 'waiting' then
    return b.first_seen and booking.is_unidentified(b) and 'identify' or nil
  elseif b.state ~= 'accepted' and is_resurrected(b) then
    return 'look'
  end
end

-- Which bookings an account has, held or accepted, until they are over.
function booking.note_open(ns, id, b, is_open, now)
  local key = ns .. 'open:' .. (b.account or '')
  if not b.account then
    return
  elseif is_open then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', integer(math.floor(now / 1000)))
    redis.call('ZADD', key, integer(b['end'] or b.start or math.floor(now / 1000)), id)
  elseif b.decision == 'accept' or b.state == 'accepted' then
    redis.call('ZREM', key, id)
  end
end

-- The newest act may still run: nobody heard its answer.
function booking.note_unfinished(b)
  booking.set(b, 'busy_until_ms', (b.act_ms or 0) + UNFINISHED_CALL_MS)
end

-- A worker handled it and lives: it is no longer suspected of killing them.
function booking.survived(b)
  if (b.deaths or 0) > 0 then
    booking.set(b, 'deaths', 0)
    booking.set(b, 'solo_deaths', 0)
  end
end

-- Moves an open or accepted booking into a final state.
function booking.close(ns, id, b, state, now, counts)
  booking.note_open(ns, id, b, state == 'accepted', now)
  booking.set(b, 'state', state)
  booking.set(b, 'settled_ms', now)
  redis.call('HSET', ns .. 'done', id, state)
  stats_add(counts, 'settled:' .. state)
end
