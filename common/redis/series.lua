-- A recurring booking is a series of bookings, each with a webhook of its own that does not name the
-- series; a look at Cal.com does (goal `identify`). They are gathered in HASH `{ns}:series:<name>`:
--   m:<booking ID>  its start      first_ms  when the first was gathered
--   verdict         accept or reject once the series was decided
-- and decided all or nothing; late ones join the verdict. One of them, the lead, is asked for at Cal.com:
-- confirm and decline of API v2 act on every pending booking of the series.

-- The series as {count, first_ms, verdict, members = {{id, start}, …} in order of start}.
local function load_series(ns, name)
  local hash = hash_get(ns .. 'series:' .. name) or {}
  local members = {}
  for field, start in pairs(hash) do
    local id = field:match('^m:(.*)$')
    if id then
      members[#members + 1] = { id = id, start = tonumber(start) or 0 }
    end
  end
  table.sort(members, function(a, b)
    return a.start < b.start or (a.start == b.start and a.id < b.id)
  end)
  return { members = members, first_ms = tonumber(hash.first_ms), verdict = hash.verdict }
end

-- Adds a booking to its series. Answers how long (ms) it has to wait for the others.
function series.join(ns, id, b, name, now, keep_ms)
  local key = ns .. 'series:' .. name
  redis.call('HSET', key, 'm:' .. id, integer(b.start or 0))
  redis.call('HSETNX', key, 'first_ms', integer(now))
  redis.call('PEXPIREAT', key, integer(booking.kept_until(b['end'] or b.start, now, keep_ms)))
  booking.set(b, 'series', name)
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

-- The open bookings that follow this lead, {id, b} in order of start.
function series.followers(ns, id, b)
  local list = {}
  if not booking.is_in_series(b) then
    return list
  end
  for _, member in ipairs(load_series(ns, b.series).members) do
    local follower = member.id ~= id and booking.load(ns, member.id)
    if follower and follower.lead == id and OPEN[follower.state] then
      list[#list + 1] = { id = member.id, b = follower }
    end
  end
  return list
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
