-- Seats of one slot share Cal.com's booking and uid. Each is a booking of its own here, named
-- `<bookingId>:<attendeeSeatId>`; HASH `{ns}:seats:<bookingId>` keeps them together: the seat's name →
-- its member's e-mail, and `gone:<email>` → when a seat of that member was freed before it was known.

local seats = {}

function seats.parent(id)
  return id:match('^([^:]+):')
end

-- The name that a booking's uid leads to; of a slot with seats, the one of the member with this e-mail that
-- `successor` replaces: not one that was freed, or was replaced by another; of several the newest.
function seats.resolve(ns, id, email, successor)
  if not id or redis.call('EXISTS', ns .. 'booking:' .. id) == 1 then
    return id
  end
  local found, found_ms
  for name, of in pairs(hash_get(ns .. 'seats:' .. id) or {}) do
    local b = of == email and not name:match('^gone:') and booking.load(ns, name)
    if b and b.successor == successor then
      return name
    elseif b and b.first_ms and not booking.is_withdrawn(b) and (not found or b.first_ms > found_ms) then
      found, found_ms = name, b.first_ms
    end
  end
  return found
end

-- Remembers a seat beside its slot. Answers when it was freed, if that was heard of before the seat was:
-- one cancellation frees one seat.
function seats.note(ns, id, created_ms, fields, expires_ms)
  local key, gone = ns .. 'seats:' .. seats.parent(id), 'gone:' .. (fields.email or '')
  redis.call('HSET', key, id, fields.email or '')
  redis.call('PEXPIREAT', key, integer(expires_ms))
  local gone_ms = tonumber(redis.call('HGET', key, gone))
  if not gone_ms or gone_ms < created_ms then
    return nil
  end
  redis.call('HDEL', key, gone)
  return gone_ms
end

-- The seat that is freed by a cancellation of this e-mail at this time; nil when it is known to be free
-- already, false when no seat of that member is known. A cancellation names no seat, and may come twice
-- with two createdAt: soon after another one it is its repeat, unless a new seat was taken in between.
local function find_freed(ns, members, email, created_ms)
  local candidate, candidate_ms, freed_ms
  for name, of in pairs(members) do
    local b = of == email and not name:match('^gone:') and booking.load(ns, name)
    if b and b.first_ms then
      local gone_ms = b.cancelled_ms or b.rejected_ms
      if gone_ms then
        freed_ms = math.max(freed_ms or 0, gone_ms)
      elseif b.first_ms <= created_ms and (not candidate_ms or b.first_ms < candidate_ms) then
        candidate, candidate_ms = name, b.first_ms
      end
    end
  end
  if candidate and freed_ms and math.abs(created_ms - freed_ms) <= TWIN_MS and candidate_ms < freed_ms then
    return nil
  elseif candidate then
    return candidate
  elseif not freed_ms then
    return false
  end
end

-- Which seats an event without a seat's ID is about, as a list of names. Unknown ones are remembered.
function seats.addressed(ns, id, kind, created_ms, fields, expires_ms)
  local key = ns .. 'seats:' .. id
  local members = hash_get(key) or {}
  local names = {}
  for email in (fields.attendees or fields.email or ''):gmatch('%S+') do
    local name = find_freed(ns, members, email, created_ms)
    if name then
      names[#names + 1] = name
    elseif name == false then
      redis.call('HSET', key, 'gone:' .. email, integer(created_ms))
      redis.call('PEXPIREAT', key, integer(expires_ms))
    end
  end
  return names
end
