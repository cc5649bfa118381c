-- An event is a fact about a booking: merge it, and name the booking in the queue when there is
-- something to do. Safe to repeat.

-- ARGV: id, kind, createdAt (ms), keep_ms, then field, value, …
-- Answers what became of it:
--   queued     recorded; a worker will look at the booking
--   recorded   recorded; nothing to do (an echo, a cancel that came before its booking, a payment)
--   known      it tells nothing new
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
  for _, field in ipairs({ 'start', 'end' }) do
    if fields[field] and not is_count(fields[field]) then
      error({ err = 'ERR tollgate: ' .. field .. ' must be epoch seconds, not ' .. fields[field] })
    end
    fields[field] = tonumber(fields[field])
  end

  local now, counts = now_ms(), {}
  stats_add(counts, 'recorded:' .. kind)
  local b = booking.load(ns, id)
  if not b and redis.call('HEXISTS', ns .. 'done', id) == 1 then
    stats_write(ns, counts)
    return 'known'
  end
  local is_new = not b
  if is_new and redis.call('EXISTS', ns .. 'booking:' .. id) == 1 then
    error({ err = 'ERR tollgate: ' .. ns .. 'booking:' .. id .. ' is no hash; delete it' })
  end
  b = b or booking.new(now)
  if not booking.merge(b, kind, created_ms, now, fields) then
    stats_write(ns, counts)
    return 'known'
  end

  local answer = 'recorded'
  if is_new and booking.is_withdrawn(b) then
    -- Over before we heard of it: a tombstone, so that a late request charges nobody.
    booking.close(ns, id, b, kind, now, counts)
    booking.set(b, 'reason', kind .. ' in Cal.com before a request was seen')
  elseif booking.is_news(b, kind) then
    queue.add(ns, id, b)
    answer = 'queued'
  end
  if b.changes.uid then
    redis.call('SET', ns .. 'uid:' .. b.uid, id)
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
  stats_write(ns, counts)
  return answer
end
