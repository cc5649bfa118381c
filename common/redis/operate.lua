-- What an operator does to the queue: pause and resume it, and say what becomes of bookings that were
-- given up (`{ns}:dead`; see rule as well). Each booking remembers what was done to it, see `mended` in booking.
--
--   HASH   {ns}:paused  there while nothing is handed out: by, note, since_ms
--   STREAM {ns}:pauses  the newest that are over: by, note, since_ms, resumed_by; an entry's ID is their end

local operate = {}

do

-- In one call; it keeps a call to some ten ms.
local MOST_NAMES = 1000

local MOST_BY, MOST_NOTE = 100, 500

local PAUSES_KEPT = 1000

-- ARGV from `first` on: by (who), note. On one line, because they are kept in lines.
function operate.words_of(args, first)
  local by, note = args[first] or '', args[first + 1] or ''
  if by == '' or #by > MOST_BY or #note > MOST_NOTE then
    refuse('who does it must be named with 1 to ' .. MOST_BY .. ' bytes, and a note has at most ' .. MOST_NOTE)
  end
  return (by:gsub('%c', ' ')), (note:gsub('%c', ' '))
end

-- ---- Pause ----

-- ARGV: by, note. Answers {'paused' or 'known', by, note, since_ms}: a pause that is in force stays as it is.
function operate.pause(keys, args)
  local ns = namespace(keys)
  local by, note = operate.words_of(args, 1)
  local before = hash_get(ns .. 'paused')
  if before then
    return { 'known', before.by or '', before.note or '', before.since_ms or '' }
  end
  local since = integer(now_ms())
  redis.call('DEL', ns .. 'paused') -- somebody may have put something else there
  redis.call('HSET', ns .. 'paused', 'by', by, 'note', note, 'since_ms', since)
  stats_write(ns, { pauses = 1 })
  changes.note(ns, { by = by, what = 'paused', note = note })
  return { 'paused', by, note, since }
end

-- ARGV: by. Workers ask again every PAUSE_AGAIN_MS, and so find out.
-- Answers {'resumed', by, note, since_ms of the pause} or {'known'}.
function operate.resume(keys, args)
  local ns = namespace(keys)
  local by = operate.words_of(args, 1)
  if not queue.is_paused(ns) then
    return { 'known' }
  end
  local paused = hash_get(ns .. 'paused') or {}
  local was = { paused.by or '', paused.note or '', paused.since_ms or '' }
  redis.call('DEL', ns .. 'paused')
  redis.call('XADD', ns .. 'pauses', 'MAXLEN', '~', PAUSES_KEPT, '*', 'by', was[1], 'note', was[2],
    'since_ms', was[3], 'resumed_by', by)
  changes.note(ns, { by = by, what = 'resumed' })
  return { 'resumed', was[1], was[2], was[3] }
end

-- ---- What was given up ----

-- Puts on record what a person did, and what the booking had been given up for.
local function mend(b, what, by, note, now)
  local line = { integer(now), what, by, note, ((b.last_error or ''):gsub('%c', ' ')) }
  booking.add_lines(b, 'mended', table.concat(line, '\t'), MENDED_KEPT)
  booking.set(b, 'last_error', '')
end

-- Cal.com refused the booking (and with it those that follow it in its series); what it held was released.
-- A person says that Cal.com will not refuse it again, so it is decided anew.
function operate.reopen(ns, id, b)
  for _, uid in ipairs({ b.uid or '', b.seat }) do
    redis.call('PERSIST', ns .. 'uid:' .. uid)
  end
  redis.call('PERSIST', ns .. 'booking:' .. id)
  redis.call('HDEL', ns .. 'done', id)
  redis.call('HDEL', ns .. 'booking:' .. id, 'slot_of') -- whether it is a twin is seen anew
  b.slot_of = nil
  booking.set(b, 'state', 'waiting')
  booking.set(b, 'lead', '')
end

-- It is tried as if it had never failed. `what` was done, for the record.
function operate.try_anew(b, what, op)
  mend(b, what, op.by, op.note, op.now)
  booking.set(b, 'requeued_ms', op.now)
  for _, counter in ipairs({ 'attempts', 'deaths', 'solo_deaths' }) do
    if b[counter] then
      booking.set(b, counter, 0)
    end
  end
end

local function requeue_one(ns, id, b, op)
  local followers = {}
  operate.try_anew(b, 'requeued', op)
  if b.state == 'failed' and not booking.needs_attention(b) then
    followers = series.reopen(ns, id, b)
    operate.reopen(ns, id, b)
  end
  queue.add(ns, id, b)
  booking.save(ns, id, b, op.now, op.keep_ms)
  for _, follower in ipairs(followers) do
    operate.reopen(ns, follower.id, follower.b)
    queue.add(ns, follower.id, follower.b)
    booking.save(ns, follower.id, follower.b, op.now, op.keep_ms)
  end
  stats_add(op.counts, 'requeued')
  return 'requeued'
end

-- What a discarded booking becomes: its final state, and the movements that clear it. Answers a writer, or
-- nil and why it cannot be.
local function plan_discard(batch, id, b, by)
  if b.state == 'waiting' then
    return decide.plan_discarded(batch, id, b, by)
  end
  local movements, state, reason = {}, nil, nil
  if OPEN[b.state] then
    state, reason = 'failed', 'discarded by ' .. by .. '; nothing is charged'
    if not has_heir(batch.ns, b) then
      accounts.add(movements, b.account, 'release', b.held or 0, { booking = id, by = by, note = 'discarded' })
    end
  elseif b.state == 'accepted' and booking.is_withdrawn_for_good(b) then
    state, reason = 'cancelled', 'cancelled; discarded by ' .. by .. ', what was charged is kept'
  end
  local message = accounts.plan(batch, movements)
  return not message and function()
    accounts.write(batch, movements)
    if #movements > 0 then
      booking.set(b, 'held', 0)
    end
    if state then
      booking.set(b, 'reason', reason)
      booking.close(batch.ns, id, b, state, batch.now, batch.counts)
    end
  end, message
end

-- What decide needs to know of a call that is no take.
function operate.batch(ns, op)
  return {
    ns = ns, now = op.now, keep_ms = op.keep_ms, counts = op.counts,
    known = {}, purses = {}, planned = {}, errors = {}, named = {}, touched = {}, slots = {}, -- as in take
    load = function(other)
      return booking.load(ns, other)
    end,
  }
end

local function discard_one(ns, id, b, op)
  local batch = operate.batch(ns, op)
  local followers, waiting = {}, {}
  if OPEN[b.state] then
    followers, waiting = series.companions(ns, id, b)
  end
  local write, message = plan_discard(batch, id, b, op.by)
  if not write then
    return message
  end
  write()
  mend(b, 'discarded', op.by, op.note, op.now)
  queue.leave(ns, id, b)
  booking.set(b, 'place', 'none')
  booking.save(ns, id, b, op.now, op.keep_ms)
  series.pass_on(ns, followers, op.now, op.keep_ms)
  series.wake(ns, waiting, op.now, op.keep_ms)
  if b.successor then
    queue.wake(ns, b.successor)
  end
  stats_add(op.counts, 'discarded')
  return 'discarded'
end

-- Does something to each of the dead among the names, args[first] and those behind. Answers a text for each, in
-- order; those that answer `done` are noted among the changes. op: by, note, keep_ms; it is added to.
function operate.for_each_dead(ns, args, first, op, done, act)
  local answers, changed, how_many = {}, {}, 0
  op.now, op.counts = now_ms(), {}
  if #args - first + 1 > MOST_NAMES then
    refuse('at most ' .. MOST_NAMES .. ' bookings at a time')
  end
  for i = first, #args do
    local id = args[i]
    local b = booking.load(ns, id)
    if b and b.place == 'dead' then
      answers[#answers + 1] = act(ns, id, b, op)
    elseif op.forgets and redis.call('ZREM', ns .. 'dead', id) == 1 then
      answers[#answers + 1] = 'forgotten'
    else
      answers[#answers + 1] = b and 'not dead' or 'unknown'
    end
    if answers[#answers] == done or answers[#answers] == 'forgotten' then
      changed[math.min(#changed, 9) + 1] = id
      how_many = how_many + 1
    end
  end
  if how_many > 0 then
    changes.note(ns, { by = op.by, what = done, about = changes.some(changed), note = op.note, count = how_many })
  end
  stats_write(ns, op.counts)
  return answers
end

local function mend_dead(keys, args, done, act, forgets)
  local ns = namespace(keys)
  local by, note = operate.words_of(args, 1)
  local op = { by = by, note = note, keep_ms = number_argument(args, 3, 'keep_ms'), forgets = forgets }
  return operate.for_each_dead(ns, args, 4, op, done, act)
end

-- ARGV: by, note, keep_ms, then IDs of dead bookings. Each waits in the queue again as if it had never
-- failed: it keeps its decision and its hold; one that is failed has neither, and is decided anew.
-- Answers for each: requeued, not dead, or unknown.
function operate.requeue(keys, args)
  return mend_dead(keys, args, 'requeued', requeue_one)
end

-- ARGV: by, note, keep_ms, then IDs of dead bookings. Nothing more is done about them: an open one becomes
-- failed and what it holds goes back; what is final stays so. Cal.com is not asked.
-- Answers for each: discarded, not dead, unknown, forgotten (it was listed without being dead, mostly because
-- its record has expired; it is no more), or why it cannot be.
function operate.discard(keys, args)
  return mend_dead(keys, args, 'discarded', discard_one, true)
end

end
