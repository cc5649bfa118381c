-- What no webhook told us. One elected worker asks Cal.com, now and then, for bookings that wait for a
-- confirmation, and hands each row in here (tollgate_found); looks again, in turn, at those that we know;
-- and compares accepted ones with the ledger.
--
--   HASH {ns}:sweep        worker, lease_until_ms (who sweeps now), next_ms (when the next sweep begins)
--   ZSET {ns}:known        bookings that are open, or accepted and not begun → when they were looked at last
--   ZSET {ns}:found        rows without a time of their own (v1) → when they were seen first
--   ZSET {ns}:gate:<name>:share   the sweep's calls in the window, see gate.lua
--   HASH {ns}:drift        booking → what Cal.com, the record and the ledger disagree about; for a person
--   LIST {ns}:drift_news   what of that nobody logged yet

-- (`sweep` itself stands in booking.lua, which keeps `known`.)

do

-- A row so young (ms) may have its webhook on the way. Of a booking that ended so lately the row may be older
-- than its end, and Cal.com may do what it told of only now: it sends a webhook first and waits for the answer.
local YOUNG_MS = 30000

local FOUND_KEPT_MS = 86400000
local DRIFT_KEPT = 1000
local DRIFT_NEWS = 100

-- Looks that are ordered at a time, once a second at most, also where calls are not limited.
local LOOKS_MOST = 20

-- How often a look is tried before it waits for its next turn.
local LOOK_TRIES = 5

-- How many entries of a ledger are read to find one booking's.
local LEDGER_READ = 1000

-- ---- Drift ----

-- Remembers what does not fit, or that it fits again (text nil). Answers whether it is news.
local function note_drift(ns, id, text, counts)
  if not note_wrong(ns .. 'drift', id, text, DRIFT_KEPT) then
    return false
  end
  redis.call('LPUSH', ns .. 'drift_news', id .. ' ' .. text)
  redis.call('LTRIM', ns .. 'drift_news', 0, DRIFT_NEWS - 1)
  stats_add(counts, 'drift')
  return true
end

-- Whether the account's ledger has the capture of what this booking was charged; true also when that
-- is too long ago to be found.
local function is_captured(ns, id, b)
  local since = integer(b.decided_ms or b.received_ms)
  local entries = redis.pcall('XRANGE', ns .. 'ledger:' .. b.account, since, '+', 'COUNT', LEDGER_READ)
  if entries.err then
    return false
  end
  for _, entry in ipairs(entries) do
    local fields = pairs_of(entry[2])
    if fields.booking == id and fields.kind == 'capture' then
      return true
    end
  end
  return #entries >= LEDGER_READ
end

-- What is wrong with a booking that Cal.com has accepted; nil: nothing.
local function compare(ns, id, b)
  local charged, held = b.charged or 0, b.held or 0
  if not b.account then
    return nil
  elseif held > 0 and not OPEN[b.state] and not b.successor then
    return integer(held) .. ' held, though it is ' .. b.state
  elseif b.state ~= 'accepted' then
    return nil
  elseif charged > 0 then
    return not is_captured(ns, id, b) and integer(charged) .. ' charged, but the ledger lacks it' or nil
  elseif b.decision == 'accept' and (b.cost or 0) > 0 and not accounts.is_waived(ns, id) then
    return 'accepted in Cal.com and by us, but nothing was charged'
  end
end

-- ---- Looking again ----

-- Puts a booking that was only looked at back to where it was.
function sweep.put_back(ns, id, b)
  local dead_ms = b.check:match('^dead (%d+)$')
  booking.set(b, 'check', '')
  return queue.put_down(ns, id, b, dead_ms and 'dead' or 'none', dead_ms)
end

-- A look that failed is tried again at `due_ms`: its turn comes once in a sweep of all that is known, which may
-- take an hour, and what it was to find stays wrong until then. Answers the place, or 'checked': it was enough.
function sweep.look_failed(ns, id, b, due_ms)
  booking.set(b, 'look_tries', (b.look_tries or 0) + 1)
  if b.look_tries >= LOOK_TRIES then
    sweep.put_back(ns, id, b)
    return 'checked'
  end
  local place = queue.put_down(ns, id, b, 'retry', due_ms)
  if place == 'queue' then
    booking.set(b, 'check', '')
  end
  return place
end

-- Orders a look at a booking that nobody has in hand, by a job as any other.
local function order_look(ns, id, b, now, keep_ms)
  local was = 'none'
  if b.place == 'dead' then
    was = 'dead ' .. integer(redis.call('ZSCORE', ns .. 'dead', id) or now)
  end
  queue.leave(ns, id, b)
  queue.push(ns, id, b, 'LPUSH')
  booking.set(b, 'check', was)
  if b.look_tries then
    booking.set(b, 'look_tries', 0)
  end
  booking.save(ns, id, b, now, keep_ms)
end

-- What a webhook would have told of a booking that Cal.com has otherwise than we: {kind, ms, fields}; or
-- nil and what a person should know.
local function missed(ns, b, outcome, told, now)
  if b.state == 'waiting' and outcome == 'accepted' and not booking.is_guide(b) then
    return { kind = 'created', ms = now, fields = {} }
  elseif b.state ~= 'accepted' then
    return nil
  elseif outcome == 'pending' then
    return nil, 'accepted and charged, but pending in Cal.com'
  elseif (told.rescheduled_to or '') ~= '' then
    return nil, redis.call('EXISTS', ns .. 'uid:' .. told.rescheduled_to) == 0
      and 'rescheduled in Cal.com to ' .. told.rescheduled_to .. ', which is unknown here' or nil
  elseif outcome == 'cancelled' or outcome == 'rejected' then
    local ms = math.max((b.created_ms or 0) + 1, math.min(tonumber(told.changed_ms) or now, now))
    return { kind = outcome, ms = ms, fields = { cancelled_by = told.cancelled_by } }
  end
end

-- Whether the rules for any booking settle what was seen.
local function is_settled_by(b, outcome)
  if outcome == 'pending' or outcome == 'refused' or b.state == 'accepted' then
    return false
  elseif b.state == 'waiting' then
    return outcome ~= 'accepted'
  elseif b.state == 'accepting' and outcome == 'accepted' and booking.is_withdrawn(b) then
    return false -- to cancel it is for whoever requeues it
  end
  return OPEN[b.state] or (outcome == 'accepted' and b.state ~= 'observed')
end

-- A booking was looked at because no webhook may have told what became of it. told: cancelled_by,
-- changed_ms, rescheduled_to, as far as Cal.com says it. Answers the place that the booking went to; nil
-- when it is settled by `outcome` as any other.
function sweep.mend(ns, id, b, outcome, told, now, counts)
  if b.doubt == '2' then
    booking.set(b, 'doubt', '0')
  end
  if outcome == 'gone' then
    -- Another server or another key would make every booking look so: nothing is refunded for that.
    note_drift(ns, id, 'gone from Cal.com', counts)
    return sweep.put_back(ns, id, b)
  elseif is_settled_by(b, outcome) then
    if outcome == 'accepted' then
      -- The host's yes came after whatever we know.
      booking.merge(b, 'created', math.max(now, (b.rejected_ms or 0) + 1, (b.cancelled_ms or 0) + 1), now, {})
    end
    booking.set(b, 'check', '')
    stats_add(counts, 'mended:' .. outcome)
    note_drift(ns, id, nil, counts)
    return nil
  end
  local event, text = missed(ns, b, outcome, told, now)
  if not event and outcome == 'accepted' then
    text = compare(ns, id, b)
  end
  note_drift(ns, id, text, counts)
  if not event or not booking.merge(b, event.kind, event.ms, now, event.fields) then
    return sweep.put_back(ns, id, b)
  end
  stats_add(counts, 'mended:' .. outcome)
  booking.set(b, 'check', '')
  return queue.put_down(ns, id, b, 'queue')
end

-- Whether a known booking is one that a look could tell something about.
local function is_known(b, now)
  return (OPEN[b.state] and b.first_seen ~= nil) or (b.state == 'accepted' and (b.start or 0) * 1000 > now)
end

-- Keeps `known`. Called when a booking is saved that changed its state.
function sweep.keep_known(ns, id, b, now)
  if is_known(b, now) then
    redis.call('ZADD', ns .. 'known', 'NX', integer(now), id)
  else
    redis.call('ZREM', ns .. 'known', id)
  end
end

-- Orders looks at those that were looked at longest ago, not after `before_ms`. Answers {'go', how many}
-- or {'hold', ms, why}: there are some, but not now.
local function order_looks(ns, g, before_ms, now, keep_ms)
  local names = redis.call('ZRANGE', ns .. 'known', '-inf', integer(before_ms), 'BYSCORE', 'LIMIT', 0, LOOKS_MOST)
  if #names == 0 then
    return { 'go', '0' }
  end
  local most, why, ms = gate.share_left(g, ns, now)
  if most < 1 then
    return { 'hold', integer(ms), why }
  end
  local ordered = 0
  for _, id in ipairs(names) do
    local b = booking.load(ns, id)
    if not b or not is_known(b, now) then
      redis.call('ZREM', ns .. 'known', id)
    elseif ordered < most then
      redis.call('ZADD', ns .. 'known', 'XX', integer(now), id)
      local is_idle = b.place == 'dead' or (b.place == 'none' and b.state == 'accepted')
      if is_idle and (b.lead or '') == '' then
        order_look(ns, id, b, now, keep_ms)
        gate.count_share(g, 'look ' .. id)
        ordered = ordered + 1
      end
    end
  end
  return { 'go', integer(ordered) }
end

-- ---- The elected worker ----

local function sweeper(ns, now)
  local s = hash_get(ns .. 'sweep') or {}
  if (tonumber(s.lease_until_ms) or 0) <= now then
    s.worker = nil
  end
  return s
end

local function extend_lease(ns, worker, lease_ms, now)
  redis.call('HSET', ns .. 'sweep', 'worker', worker, 'lease_until_ms', integer(now + lease_ms))
end

local SWEEP = {}

-- Answers {'go'} (this worker sweeps now) or {'wait', ms} (ask again then).
function SWEEP.start(ns, _, worker, o, now)
  local s = sweeper(ns, now)
  local next_ms = math.min(tonumber(s.next_ms) or math.huge, now + o.interval_ms)
  if s.worker and s.worker ~= worker then
    return { 'wait', integer(s.lease_until_ms - now + 100) }
  elseif next_ms > now then
    redis.call('HSET', ns .. 'sweep', 'next_ms', integer(next_ms))
    return { 'wait', integer(next_ms - now) }
  end
  extend_lease(ns, worker, o.lease_ms, now)
  return { 'go' }
end

-- Reserves a call of the sweep. Answers {'go'}, {'hold', ms, why} or {'lost'} (another worker sweeps now).
function SWEEP.call(ns, g, worker, o, now)
  if sweeper(ns, now).worker ~= worker then
    return { 'lost' }
  end
  extend_lease(ns, worker, o.lease_ms, now)
  local wait_ms, why = gate.call_of_sweep(g, ns, worker, now)
  return wait_ms and { 'hold', integer(wait_ms), why } or { 'go' }
end

-- Orders looks at known bookings that were not looked at for an interval. Answers {'go', how many},
-- {'hold', ms, why} or {'lost'}.
function SWEEP.look(ns, g, worker, o, now)
  if sweeper(ns, now).worker ~= worker then
    return { 'lost' }
  end
  extend_lease(ns, worker, o.lease_ms, now)
  return order_looks(ns, g, now - o.interval_ms, now, o.keep_ms)
end

-- The sweep is done. Answers {'go', how many drift, what of that is news, …}.
SWEEP['end'] = function(ns, _, worker, o, now)
  if sweeper(ns, now).worker ~= worker then
    return { 'lost' }
  end
  redis.call('HSET', ns .. 'sweep', 'worker', '', 'lease_until_ms', 0, 'next_ms', integer(now + o.interval_ms),
    'last_ms', integer(now))
  redis.call('ZREMRANGEBYSCORE', ns .. 'found', '-inf', integer(now - FOUND_KEPT_MS))
  local news = redis.call('LRANGE', ns .. 'drift_news', 0, -1)
  redis.call('DEL', ns .. 'drift_news')
  return { 'go', integer(redis.call('HLEN', ns .. 'drift')), unpack(news) }
end

-- ARGV: worker, step (start, call, look, end), interval_ms, lease_ms, keep_ms, then option, value, …
-- (see gate.load)
function sweep.step(keys, args)
  local ns, now = namespace(keys), now_ms()
  local o = {
    interval_ms = number_argument(args, 3, 'interval'), lease_ms = number_argument(args, 4, 'lease'),
    keep_ms = number_argument(args, 5, 'keep_ms'),
  }
  if not SWEEP[args[2]] then
    error({ err = 'ERR tollgate: unknown step of a sweep ' .. tostring(args[2]) })
  end
  return SWEEP[args[2]](ns, gate.load(ns, pairs_of(args, 6), now), args[1], o, now)
end

-- ---- What was found ----

-- What the row's webhook would have told, heard of now.
local function request(created_ms, now)
  return { kind = 'requested', created_ms = created_ms, received_ms = now, now = now }
end

-- A booking that is not acted on, but listed for a person.
local function list_aside(ns, id, created_ms, fields, why, now, keep_ms, counts)
  record_one(ns, id, request(created_ms, now), fields, keep_ms, counts)
  local b = booking.load(ns, id)
  booking.set(b, 'found_ms', now)
  queue.leave(ns, id, b)
  redis.call('LREM', ns .. 'queue', 1, id)
  booking.set(b, 'place', 'none')
  queue.park(ns, id, b, now, why, counts)
  booking.save(ns, id, b, now, keep_ms)
  return { 'listed', why }
end

local PAID = 'found by the sweep, no webhook told of it; its event type costs money, and nobody knows whether it was paid'

-- A pending row of a booking that is unknown here.
local function record_found(ns, id, created_ms, fields, aside, now, keep_ms, counts)
  if created_ms == 0 then
    redis.call('ZADD', ns .. 'found', 'NX', integer(now), id)
    created_ms = tonumber(redis.call('ZSCORE', ns .. 'found', id))
  end
  if now - created_ms < YOUNG_MS then
    return { 'young' }
  end
  stats_add(counts, 'found')
  drop_unread(ns, fields)
  if fields.event_type and redis.call('SISMEMBER', ns .. 'paid_event_types', fields.event_type) == 1 then
    aside = PAID
  end
  if aside ~= '' then
    return list_aside(ns, id, created_ms, fields, aside, now, keep_ms, counts)
  end
  local answer = record_one(ns, id, request(created_ms, now), fields, keep_ms, counts)
  redis.call('HSET', ns .. 'booking:' .. id, 'found_ms', integer(now))
  return { answer }
end

-- Whether our confirm crossed the reschedule that ended this booking, and brought it back to life at Cal.com,
-- where the member has two now.
local function is_revived(b)
  return b.state == 'cancelled' and b.successor ~= nil and b.decision == 'accept' and not b.seat
end

-- An accepted row. Answers {'fine'}, {'look'} (ordered, for we say no) or {'drift', what}.
local function compare_found(ns, id, created_ms, b, now, keep_ms, counts)
  local text
  if b and is_revived(b) then
    if b.place == 'none' then
      booking.set(b, 'revived', '1')
      queue.add(ns, id, b)
      booking.save(ns, id, b, now, keep_ms)
      stats_add(counts, 'revived')
    end
    return { 'look' }
  elseif b and not OPEN[b.state] and b.state ~= 'accepted' and b.state ~= 'observed' and not b.successor then
    if now - (b.settled_ms or 0) < YOUNG_MS then
      return { 'fine' }
    elseif b.place == 'none' or b.place == 'dead' then
      order_look(ns, id, b, now, keep_ms)
    end
    return { 'look' }
  elseif b and b.first_seen then
    text = compare(ns, id, b)
  elseif not b and created_ms > 0 and now - created_ms >= YOUNG_MS and redis.call('HEXISTS', ns .. 'done', id) == 0
    and redis.call('EXISTS', ns .. 'seats:' .. id) == 0
  then
    text = 'accepted in Cal.com, and unknown here'
  end
  note_drift(ns, id, text, counts)
  return { text and 'drift' or 'fine', text }
end

-- ARGV: id, how Cal.com says that it stands (pending, accepted), createdAt (ms; 0: not told), keep_ms, why
-- it must not be acted on ('': it may), then field, value, … as for tollgate_record. A row of a list.
-- Answers {'queued' or 'recorded'}, {'listed', why} (under dead, for a person), {'young'} (left to its
-- webhook) or {'known'}; of an accepted row {'fine'}, {'look'} or {'drift', what}.
function sweep.found(keys, args)
  local ns, id = namespace(keys), args[1]
  local created_ms, keep_ms = number_argument(args, 3, 'createdAt'), number_argument(args, 4, 'keep_ms')
  check_id(id)
  local fields = pairs_of(args, 6)
  read_numbers(fields)
  local now, counts = now_ms(), {}
  local b = booking.load(ns, id)
  local answer = { 'known' }
  if args[2] == 'accepted' then
    answer = compare_found(ns, id, created_ms, b, now, keep_ms, counts)
  elseif not b and redis.call('HEXISTS', ns .. 'done', id) == 0
    and (fields.seat or redis.call('EXISTS', ns .. 'seats:' .. id) == 0)
  then
    answer = record_found(ns, id, created_ms, fields, args[5], now, keep_ms, counts)
  end
  stats_write(ns, counts)
  return answer
end

end
