-- An event is a fact about a booking: merge it, and name the booking in the queue when there is
-- something to do. Safe to repeat.

-- A rescheduled occurrence stays in its series; where that was not looked up yet, it has to be.
local function inherit_series(ns, id, b, old, now, keep_ms)
  if b.series then
    return
  elseif booking.is_in_series(old) then
    series.join(ns, id, b, old.series, now, keep_ms)
  elseif not old.series and old.occurrences and not b.occurrences then
    booking.set(b, 'occurrences', old.occurrences)
  end
end

-- The booking that replaces this one in Cal.com, and the other way round: each is told of the other,
-- whichever is heard of first.
local function link_reschedule(ns, id, b, now, keep_ms)
  if b.changes.reschedule_uid and b.reschedule_uid ~= b.uid then
    local old_id = seats.resolve(ns, redis.call('GET', ns .. 'uid:' .. b.reschedule_uid), b.email, id)
    local old = old_id and old_id ~= id and booking.load(ns, old_id)
    if not old then
      redis.call('SET', ns .. 'successor:' .. b.reschedule_uid, id, 'PX', integer(keep_ms))
    else
      inherit_series(ns, id, b, old, now, keep_ms)
    end
    if old and old.successor == nil then
      booking.set(old, 'successor', id)
      if old.state == 'accepting' or (old.state == 'waiting' and old.first_seen)
        or (old.state == 'accepted' and booking.stands_alone(b))
      then
        queue.add(ns, old_id, old)
      end
      booking.save(ns, old_id, old, now, keep_ms)
    end
  end
  if b.changes.uid and not b.successor then
    local successor = redis.call('GET', ns .. 'successor:' .. b.uid)
    if successor and successor ~= id then
      booking.set(b, 'successor', successor)
    end
    local heir = b.successor and booking.load(ns, b.successor)
    if heir then
      inherit_series(ns, successor, heir, b, now, keep_ms)
      booking.save(ns, successor, heir, now, keep_ms)
    end
  end
end

-- Of what the booker answered and the page added only what the policy in force may read is kept.
local function drop_unread(ns, fields)
  if not fields.answers and not fields.metadata then
    return
  end
  local needs = redis.call('HGET', ns .. 'policy', 'needs') or ''
  for _, name in ipairs({ 'answers', 'metadata' }) do
    if not needs:find(name, 1, true) then
      fields[name] = nil
    end
  end
end

-- How far (ms) Cal.com's clock and ours may be apart.
local CLOCKS_MS = 60000

-- When the event reached us. One that waited in a spool tells it itself; but not a time that has not come
-- yet, and none before Cal.com sent the event.
local function received_at(fields, created_ms, now)
  local received_ms = fields.received or now
  fields.received = nil
  return math.min(now, math.max(received_ms, created_ms - CLOCKS_MS))
end

-- Merges one event into one booking. event: kind, created_ms, received_ms, now. Answers as
-- tollgate_record does.
local function record_one(ns, id, event, fields, keep_ms, counts)
  local kind, created_ms, now = event.kind, event.created_ms, event.now
  local b, message = booking.load(ns, id)
  if not b and redis.call('HEXISTS', ns .. 'done', id) == 1 then
    return 'known'
  end
  local is_new = not b
  if message then
    error({ err = 'ERR tollgate: ' .. ns .. 'booking:' .. id .. ' is no hash; delete it' })
  end
  b = b or booking.new(event.received_ms)
  if not booking.merge(b, kind, created_ms, event.received_ms, fields) then
    return 'known'
  end
  if b.state == 'accepted' and (b.cancelled_ms or b.rejected_ms) and not booking.is_withdrawn_for_good(b) then
    booking.set(b, 'doubt', '1')
  end
  if b.changes.seat then
    local gone_ms =
      seats.note(ns, id, created_ms, fields, booking.kept_until(b['end'] or b.start, now, keep_ms))
    if gone_ms then
      booking.merge(b, 'cancelled', gone_ms, event.received_ms, {})
    end
  end
  link_reschedule(ns, id, b, now, keep_ms)
  if b.changes.created_ms and b.successor then
    queue.add_crossed(ns, id, b, booking.load(ns, b.successor))
  end

  local answer = 'recorded'
  if is_new and (b.cancelled_ms or b.rejected_ms) and not b.first_seen then
    -- Over before we heard of it: a tombstone, so that a late request charges nobody.
    booking.close(ns, id, b, kind, now, counts)
    booking.set(b, 'reason', kind .. ' in Cal.com before a request was seen')
  elseif b.changes.first_seen and b.reschedule_uid and booking.was_never_decided(b) then
    -- It replaced another one: what that has is given back, or kept, by whoever takes this one.
    booking.set(b, 'state', 'waiting')
    queue.add(ns, id, b)
    answer = 'queued'
  elseif booking.is_news(b, kind) then
    queue.add(ns, id, b)
    answer = 'queued'
  end
  if b.changes.uid then
    redis.call('SET', ns .. 'uid:' .. b.uid, b.seat and seats.parent(id) or id)
  end
  if b.changes.seat then
    redis.call('SET', ns .. 'uid:' .. b.seat, id)
  end
  if not is_new and b.changes.first_seen then
    -- It was a payment that began, or nothing yet; now somebody waits for an answer.
    redis.call('PERSIST', ns .. 'booking:' .. id)
    redis.call('PERSIST', ns .. 'uid:' .. (b.uid or ''))
  end
  if kind == 'payment' and b.event_type then
    redis.call('SADD', ns .. 'paid_event_types', b.event_type)
  end
  booking.save(ns, id, b, now, keep_ms)
  return answer
end

local function check_id(id)
  if not id:match('^[%w_.:-]+$') or #id > 80 then
    error({ err = 'ERR tollgate: a booking ID must match [A-Za-z0-9_.:-]{1,80}' })
  end
end

local NUMBERS = { 'start', 'end', 'occurrences', 'received' }

-- Makes numbers of what an event tells as text.
local function read_numbers(fields)
  for i = 1, #NUMBERS do
    local field = NUMBERS[i]
    if fields[field] then
      fields[field] = number_argument(fields, field, field)
    end
  end
end

-- Checks and records one event: id, kind, createdAt (ms), and what else it tells.
local function record_event(ns, id, kind, created, fields, keep_ms)
  local created_ms = number_argument({ created }, 1, 'createdAt')
  if not KINDS[kind] then
    error({ err = 'ERR tollgate: unknown kind of event ' .. tostring(kind) })
  end
  check_id(id)
  read_numbers(fields)
  if fields.seat and not seats.parent(id) then
    error({ err = 'ERR tollgate: the ID of a seat must be <bookingId>:<seat>, not ' .. id })
  end

  local now, counts = now_ms(), {}
  local event = { kind = kind, created_ms = created_ms, received_ms = received_at(fields, created_ms, now), now = now }
  stats_add(counts, 'recorded:' .. kind)
  local is_slot = not fields.seat and (fields.seats == 'yes' or fields.attendees)
    and redis.call('EXISTS', ns .. 'booking:' .. id) == 0
  local answer = 'known'
  if is_slot and not MAKING[kind] then
    local expires_ms = booking.kept_until(fields['end'] or fields.start, now, keep_ms)
    local names = seats.addressed(ns, id, kind, created_ms, fields, expires_ms)
    for _, name in ipairs(names) do
      local one = record_one(ns, name, event, { cancelled_by = fields.cancelled_by }, keep_ms, counts)
      answer = one == 'queued' and one or (answer == 'known' and one or answer)
    end
  elseif not is_slot or redis.call('EXISTS', ns .. 'seats:' .. id) == 0 then
    drop_unread(ns, fields)
    fields.attendees = nil
    answer = record_one(ns, id, event, fields, keep_ms, counts)
  end
  stats_write(ns, counts)
  return answer
end

-- ARGV: id, kind, createdAt (ms), keep_ms, then field, value, … (`received`: when it reached us, if that
-- was not just now)
-- Answers what became of it:
--   queued     recorded; a worker will look at the booking
--   recorded   recorded; nothing to do (an echo, a cancel that came before its booking, a payment)
--   known      it tells nothing new
-- An event about a slot with seats that names no seat (`attendees`, or a slot of which seats are known)
-- is about the seats of the members it names; a repeat of what made them tells nothing.
local function record(keys, args)
  local ns = namespace(keys)
  return record_event(ns, args[1], args[2], args[3], pairs_of(args, 5), number_argument(args, 4, 'keep_ms'))
end

-- An error about this one event. Any other (NOPERM, …) is about Redis and would meet the next one as well.
local function is_about_event(message)
  return message:match('^ERR tollgate:') or message:match('^WRONGTYPE') or message:match('^@?user_function:%d')
end

-- Several events that waited in a spool, in their order, up to the first that fails.
-- ARGV: keep_ms, then of each event: how many texts it has, id, kind, createdAt, field, value, …
-- Answers {how many were recorded, why the next one was not or ''}.
local function record_many(keys, args)
  local ns = namespace(keys)
  local keep_ms = number_argument(args, 1, 'keep_ms')
  local done, at = 0, 2
  while args[at] do
    local last = at + number_argument(args, at, 'the number of texts')
    local fields = pairs_of(args, at + 4, last)
    local ok, answer = pcall(record_event, ns, args[at + 1], args[at + 2], args[at + 3], fields, keep_ms)
    if not ok then
      local message = type(answer) == 'table' and answer.err or tostring(answer)
      if not is_about_event(message) then
        error(answer)
      end
      return { done, message }
    end
    done, at = done + 1, last + 1
  end
  return { done, '' }
end
