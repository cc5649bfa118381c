-- An event is a fact about a booking: merge it, and name the booking in the queue when there is
-- something to do. Safe to repeat.

-- The booking that replaces this one in Cal.com, and the other way round: each is told of the other,
-- whichever is heard of first.
local function link_reschedule(ns, id, b, now, keep_ms)
  if b.changes.reschedule_uid and b.reschedule_uid ~= b.uid then
    local old_id = seats.resolve(ns, redis.call('GET', ns .. 'uid:' .. b.reschedule_uid), b.email, id)
    local old = old_id and old_id ~= id and booking.load(ns, old_id)
    if not old then
      redis.call('SET', ns .. 'successor:' .. b.reschedule_uid, id, 'PX', integer(keep_ms))
    elseif old.successor == nil then
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

-- Merges one event into one booking. Answers as tollgate_record does.
local function record_one(ns, id, kind, created_ms, fields, now, keep_ms, counts)
  local b = booking.load(ns, id)
  if not b and redis.call('HEXISTS', ns .. 'done', id) == 1 then
    return 'known'
  end
  local is_new = not b
  if is_new and redis.call('EXISTS', ns .. 'booking:' .. id) == 1 then
    error({ err = 'ERR tollgate: ' .. ns .. 'booking:' .. id .. ' is no hash; delete it' })
  end
  b = b or booking.new(now)
  if not booking.merge(b, kind, created_ms, now, fields) then
    return 'known'
  end
  if b.changes.seat then
    local gone_ms =
      seats.note(ns, id, created_ms, fields, booking.kept_until(b['end'] or b.start, now, keep_ms))
    if gone_ms then
      booking.merge(b, 'cancelled', gone_ms, now, {})
    end
  end
  link_reschedule(ns, id, b, now, keep_ms)

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

-- ARGV: id, kind, createdAt (ms), keep_ms, then field, value, …
-- Answers what became of it:
--   queued     recorded; a worker will look at the booking
--   recorded   recorded; nothing to do (an echo, a cancel that came before its booking, a payment)
--   known      it tells nothing new
-- An event about a slot with seats that names no seat (`attendees`, or a slot of which seats are known)
-- is about the seats of the members it names; a repeat of what made them tells nothing.
local function record(keys, args)
  local ns = namespace(keys)
  local id, kind = args[1], args[2]
  local created_ms = number_argument(args, 3, 'createdAt')
  local keep_ms = number_argument(args, 4, 'keep_ms')
  if not KINDS[kind] then
    error({ err = 'ERR tollgate: unknown kind of event ' .. tostring(kind) })
  end
  if not id:match('^[%w_.:-]+$') or #id > 80 then
    error({ err = 'ERR tollgate: a booking ID must match [A-Za-z0-9_.:-]{1,80}' })
  end

  local fields = pairs_of(args, 5)
  for _, field in ipairs({ 'start', 'end', 'occurrences' }) do
    if fields[field] and not is_count(fields[field]) then
      error({ err = 'ERR tollgate: ' .. field .. ' must be a whole number, not ' .. fields[field] })
    end
    fields[field] = tonumber(fields[field])
  end
  if fields.seat and not seats.parent(id) then
    error({ err = 'ERR tollgate: the ID of a seat must be <bookingId>:<seat>, not ' .. id })
  end

  local now, counts = now_ms(), {}
  stats_add(counts, 'recorded:' .. kind)
  local is_slot = not fields.seat and (fields.seats == 'yes' or fields.attendees)
    and redis.call('EXISTS', ns .. 'booking:' .. id) == 0
  local answer = 'known'
  if is_slot and not MAKING[kind] then
    local expires_ms = booking.kept_until(fields['end'] or fields.start, now, keep_ms)
    local names = seats.addressed(ns, id, kind, created_ms, fields, expires_ms)
    for _, name in ipairs(names) do
      local one = record_one(ns, name, kind, created_ms, { cancelled_by = fields.cancelled_by }, now, keep_ms, counts)
      answer = one == 'queued' and one or (answer == 'known' and one or answer)
    end
  elseif not is_slot or redis.call('EXISTS', ns .. 'seats:' .. id) == 0 then
    drop_unread(ns, fields)
    fields.attendees = nil
    answer = record_one(ns, id, kind, created_ms, fields, now, keep_ms, counts)
  end
  stats_write(ns, counts)
  return answer
end
