-- A recurring booking is a series of bookings, each with a webhook of its own that does not name the
-- series; a look at Cal.com does (goal `identify`). They are gathered in HASH `{ns}:series:<name>`:
--   m:<booking ID>      its start  first_ms      when the first was gathered
--   moved:<booking ID>  its start  confirmed_ms  when a confirm of ours had last acted on all that waited
--   verdict             accept or reject once the series was decided
-- and decided all or nothing; late ones join the verdict. One of them, the lead, is asked for at Cal.com:
-- confirm and decline of API v2 act on every pending booking of the series.
--
-- An occurrence that is rescheduled stays in its series (Cal.com keeps the new row's recurringEventId, and
-- no webhook tells it), but is decided by itself. So bookings of one series can wait at Cal.com for different
-- answers. Then a "no" cancels that booking alone, and a "yes" waits until every "no" was delivered.

-- The series as {first_ms, verdict, members = {{id, start}, …}, moved = {…} in order of start}.
local function load_series(ns, name)
  local hash = hash_get(ns .. 'series:' .. name) or {}
  local lists = { m = {}, moved = {} }
  for field, start in pairs(hash) do
    local kind, id = field:match('^(%a+):(.*)$')
    if lists[kind] then
      table.insert(lists[kind], { id = id, start = tonumber(start) or 0 })
    end
  end
  for _, list in pairs(lists) do
    table.sort(list, function(a, b)
      return a.start < b.start or (a.start == b.start and a.id < b.id)
    end)
  end
  return { members = lists.m, moved = lists.moved, first_ms = tonumber(hash.first_ms), verdict = hash.verdict }
end

-- Adds a booking to its series. Answers how long (ms) it has to wait for the others.
function series.join(ns, id, b, name, now, keep_ms)
  local key = ns .. 'series:' .. name
  local expires_ms = booking.kept_until(b['end'] or b.start, now, keep_ms)
  redis.call('HSET', key, (b.reschedule_uid and 'moved:' or 'm:') .. id, integer(b.start or 0))
  if redis.call('PEXPIRETIME', key) < expires_ms then
    redis.call('PEXPIREAT', key, integer(expires_ms))
  end
  booking.set(b, 'series', name)
  if b.reschedule_uid then
    return 0
  end
  redis.call('HSETNX', key, 'first_ms', integer(now))
  local s = load_series(ns, name)
  if s.verdict or #s.members >= b.occurrences then
    return 0
  end
  return math.max(0, s.first_ms + GATHER_MS - now)
end

-- The members that can be decided together with this one, {id, b} in order of start.
local function undecided(batch, id, s)
  local together = {}
  for _, member in ipairs(s.members) do
    local b = batch.load(member.id)
    if b and b.state == 'waiting' and not booking.is_withdrawn(b)
      and (member.id == id or (not b.is_planned and b.place ~= 'active'))
    then
      together[#together + 1] = { id = member.id, b = b, movements = {} }
    end
  end
  return together
end

-- One member's verdict and movements; a "no" has none. Nil and a text when there is none.
local function ask_member(batch, member, i, count)
  local id, b = member.id, member.b
  local judged = decide.judge(batch, id, b, false, nil, i, count)
  local verdict, message = judged.verdict, judged.message
  member.verdict, member.slot = verdict, judged.slot
  if verdict and verdict.accept then
    decide.add_hold(member.movements, id, b, verdict)
    message = accounts.plan(batch, member.movements)
    if message then
      member.movements = {}
    end
  end
  return verdict, message
end

-- Asks for all. Answers the first that is no plain yes ({verdict} or {message}), or nil; the movements of
-- the others are taken back then.
local function ask_all(batch, together)
  for i, member in ipairs(together) do
    local verdict, message = ask_member(batch, member, i, #together)
    if message or not verdict.accept then
      for k = i, 1, -1 do
        accounts.undo(batch, together[k].movements)
        together[k].movements = {}
      end
      return { verdict = verdict, message = message }
    end
  end
end

local function write_member(batch, member, lead, verdict)
  local id, b = member.id, member.b
  decide.claim(batch, id, b, member.slot)
  decide.write(batch, id, b, verdict, verdict.accept and 'accepting' or 'rejecting')
  accounts.write(batch, member.movements)
  if verdict.accept then
    -- A late one is accepted with the rest also where the credit for it is not there.
    decide.write_held(batch, id, b, #member.movements > 0 and verdict.cost or 0)
  end
  if id ~= lead then
    booking.set(b, 'lead', lead)
    if b.place ~= 'queue' then -- a name that waits is taken, and then there is nothing to do
      queue.leave(batch.ns, id, b)
      booking.set(b, 'place', 'none')
    end
    booking.save(batch.ns, id, b, batch.now, batch.keep_ms)
  end
end

-- Cal.com acted on the whole series, so this one has the same outcome; what it costs beyond the credit is
-- waived when it is settled.
local function plan_late(batch, id, b, s)
  local member = { id = id, b = b, movements = {} }
  local verdict, message = ask_member(batch, member, 1, 1)
  if not verdict or message then
    return decide.parker(batch, id, b, message)
  end
  if s.verdict ~= 'accept' then
    accounts.undo(batch, member.movements)
    member.movements = {}
  end
  return function()
    verdict.cost = verdict.cost or 0
    verdict.accept = s.verdict == 'accept'
    verdict.class = 'series'
    verdict.reason = verdict.reason or 'as the rest of its series'
    write_member(batch, member, id, verdict)
  end
end

-- Plans a booking whose series is known, and with it all the others that are there.
function series.plan(batch, id, b)
  local s = load_series(batch.ns, b.series)
  if s.verdict then
    return plan_late(batch, id, b, s)
  end
  local wait_ms = (s.first_ms or 0) + GATHER_MS - batch.now
  if #s.members < b.occurrences and wait_ms > 0 then
    return function()
      decide.put_off(batch, id, b, wait_ms)
    end
  end
  local together = undecided(batch, id, s)
  local no = ask_all(batch, together)
  if no and no.message then
    return decide.parker(batch, id, b, no.message)
  elseif no and no.verdict.defer then
    return function()
      decide.put_off(batch, id, b, no.verdict.defer * 1000, no.verdict.reason)
    end
  end
  for _, member in ipairs(together) do
    member.b.is_planned = true
  end
  return function()
    redis.call('HSET', batch.ns .. 'series:' .. b.series, 'verdict', no and 'reject' or 'accept')
    for _, member in ipairs(together) do
      write_member(batch, member, id, no and no.verdict or member.verdict)
    end
  end
end

-- The other bookings of its series that are open, {id, b}, the rescheduled ones last. `load` gives the
-- record of an ID.
local function open_others(ns, id, b, load)
  local list = {}
  if not booking.is_in_series(b) then
    return list
  end
  local s = load_series(ns, b.series)
  for _, members in ipairs({ s.members, s.moved }) do
    for _, member in ipairs(members) do
      local other = member.id ~= id and load(member.id)
      if other and OPEN[other.state] then
        list[#list + 1] = { id = member.id, b = other }
      end
    end
  end
  return list
end

-- ---- Asked for at Cal.com ----

-- What an open booking is to become at Cal.com; nil when it is over there.
local function wish(b)
  if booking.is_withdrawn(b) or not b.first_seen then
    return nil
  end
  return b.state == 'accepting' and 'accept' or b.state == 'rejecting' and 'reject' or 'undecided'
end

-- How to ask for a booking beside the others of its series: 'whole' (what is asked for it may be done to all
-- that wait) or 'alone'. The second answer is another one that has to be answered before: it is to be rejected
-- and a confirm would accept it as well; or a call for it is on its way, and may do the same to this one.
function series.approach(batch, id, b)
  local goal, how = booking.goal(b), 'whole'
  if goal ~= 'accept' and goal ~= 'reject' then
    return how
  end
  for _, other in ipairs(open_others(batch.ns, id, b, batch.load)) do
    local wished = wish(other.b)
    if wished and wished ~= goal and goal == 'reject' then
      how = 'alone'
    end
    if wished and (wished ~= goal and goal == 'accept' or wished ~= 'undecided' and other.b.place == 'active') then
      return how, other
    end
  end
  return how
end

-- Lets a decided booking wait while another one of its series has to be answered before. It is woken when a
-- booking of the series is settled, and looks by itself at growing distances; where a person has the other
-- one, he has both.
function series.wait_turn(batch, id, b)
  local _, other = series.approach(batch, id, b)
  if not other then
    return
  end
  booking.set(b, 'waited_for', other.id)
  if other.b.place == 'dead' or gate.is_hopeless(batch.ns, b, batch.now) then
    local message = 'waits for ' .. other.id .. ' of its series, which would be accepted with it'
    queue.park(batch.ns, id, b, batch.now, message, batch.counts)
    return
  end
  local waited_ms = batch.now - (b.decided_ms or batch.now)
  local wait_ms = math.min(math.max(waited_ms, SERIES_WAIT_MS), SERIES_WAIT_MOST_MS)
  queue.put_down(batch.ns, id, b, 'retry', batch.now + wait_ms)
end

-- Whether it was a confirm of ours that let this one in, not asked for, and not the host by hand.
function series.is_let_in(ns, b)
  if not booking.is_in_series(b) or booking.is_accepted_by_hand(b) then
    return false
  end
  local confirmed_ms = redis.call('HGET', ns .. 'series:' .. b.series, 'confirmed_ms')
  return (tonumber(confirmed_ms) or 0) >= b.received_ms
end

function series.note_confirmed(ns, b, now)
  local key = ns .. 'series:' .. b.series
  if redis.call('EXISTS', key) == 1 then -- one that has expired would come back for ever
    redis.call('HSET', key, 'confirmed_ms', integer(now))
  end
end

-- ---- Settled ----

-- The other open bookings of the series: those that follow this lead, and those that waited for one of it.
function series.companions(ns, id, b)
  local followers, waiting = {}, {}
  local function load(other_id)
    return booking.load(ns, other_id)
  end
  for _, other in ipairs(open_others(ns, id, b, load)) do
    if other.b.lead == id then
      followers[#followers + 1] = other
    elseif other.b.waited_for and (other.b.place == 'retry' or other.b.place == 'dead') then
      waiting[#waiting + 1] = other
    end
  end
  return followers, waiting
end

function series.wake(ns, waiting, now, keep_ms)
  for _, other in ipairs(waiting) do
    if other.b.place == 'retry' then
      queue.wake(ns, other.id)
    else
      queue.add(ns, other.id, other.b)
      booking.save(ns, other.id, other.b, now, keep_ms)
    end
  end
end

-- Cal.com refused the lead, and a person wants it tried again: there is no verdict any more. Answers those that
-- failed with it, {id, b} in order of start.
function series.reopen(ns, id, b)
  local list = {}
  if not booking.is_in_series(b) then
    return list
  end
  redis.call('HDEL', ns .. 'series:' .. b.series, 'verdict')
  for _, member in ipairs(load_series(ns, b.series).members) do
    local follower = member.id ~= id and booking.load(ns, member.id)
    if follower and follower.lead == id and follower.state == 'failed' and follower.place == 'none' then
      list[#list + 1] = { id = member.id, b = follower }
    end
  end
  return list
end

-- The lead is settled but they are not: the first of them leads the rest.
function series.pass_on(ns, followers, now, keep_ms)
  local lead = followers[1] and followers[1].id
  for _, follower in ipairs(followers) do
    booking.set(follower.b, 'lead', follower.id == lead and '' or lead)
    if follower.id == lead then
      queue.add(ns, follower.id, follower.b)
    end
    booking.save(ns, follower.id, follower.b, now, keep_ms)
  end
end
