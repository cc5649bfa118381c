#!lua name=tollgate
-- The Tollgate library: every step that matters to a booking or to credit is one function here, and
-- so happens whole or not at all (Redis Functions, Redis >= 7 or Valkey).
--
-- The files of this folder are joined in the order of REDIS_LIBRARY in the Makefile:
--   head         version, keys, time, small helpers
--   json         texts that may hold any byte, and what is told as JSON
--   credit       accounts and their ledger: the only place that changes a balance
--   policy_text  reads the policy's text, and makes its loops count
--   policy_tools what a policy is given beside its arguments
--   policy_host  compiles the operator's policy and runs it with nothing but tables
--   booking      the record of one booking: facts, states, what has to be done about it
--   queue        the places a booking's name can be in: queue, active, retry, dead, none
--   gate         how many calls to Cal.com may go out, and whether any may
--   accounts     the accounts of one take: as they are, and as planned
--   seats        bookings that share one of Cal.com's
--   decide       an undecided booking: what it replaces, whether it is a twin, the policy, the hold
--   series       recurring bookings, decided together
--   leases       workers: who lives, and what becomes of what a dead one had in hand
--   record, take, settle   the three big steps
--   sweep        what no webhook told
--   changes      what operators did
--   book         what an operator does to an account
--   operate      what an operator does to the queue: pause, resume, requeue, discard
--   rule         a person accepts or rejects by hand what was given up
--   terms        what an operator does to the terms
--   audit        whether the ledgers are in order, some accounts at a time
--   gates, graph which gates are in use, and how busy it was; kept by who watches
--   views        what the console shows, and what its lists have in common; decisions and changes
--   view_…       accounts, attention, story, system: what it shows of these
--   overview     how everything stands, in numbers for who watches
--   secrets      which webhook secrets are in use
--   functions    registers everything
--
-- Rules for all of them:
--   * KEYS[1] is always `{namespace}:queue`; every other key is derived from its hash tag, so all
--     keys of a namespace share one slot of a Redis Cluster.
--   * A function reads and checks everything first; after its first write it cannot fail.
--   * Time is Redis's own. `*_ms` are milliseconds since the epoch, `start` and `end` are seconds.
--   * While the library is being loaded Redis offers no global but `redis`: nothing at file level
--     may call a standard function.
--   * What costs is texts made of numbers and back, commands, and tables that grow; `make costs`
--     counts the instructions of each function.

-- Redis finds a global by way of a metatable, which costs four times as much as a local: those that are
-- used here are locals, filled at the first call. (`redis` is another table then than during the load.)
local register_function = redis.register_function

local function standard()
  return redis, cjson, math, string, table, collectgarbage, error, ipairs, loadstring, next, pairs, pcall, select, setmetatable,
    tonumber, tostring, type, unpack
end

local redis, cjson, math, string, table, collectgarbage, error, ipairs, loadstring, next, pairs, pcall, select, setmetatable,
  tonumber, tostring, type, unpack

-- Raised with every change of this library. A program loads its own text over an older version and
-- leaves a newer one alone, so programs of several versions share one Redis while they are upgraded.
local VERSION = 9

-- Programs from this version on are served. What their calls mean stays as it is; where that cannot be,
-- this is raised in the same change, and what is older serves nobody from then on but says why.
local OLDEST = 1

-- Written into each booking as `schema`: what its fields mean. Programs know a booking by the calls of this
-- library alone, and no older library is loaded over a newer one, so what older ones wrote has to be read
-- here only. To change what a field means:
--   1. raise SCHEMA, and VERSION as always;
--   2. have booking.load turn a record with a lower number into one of this: the booking's next step writes
--      it, and what takes no further step expires with TOLLGATE_KEEP_DAYS as it is;
--   3. teach both to the scripts that read records themselves (story.py, verify.py and others in scripts/lib/tollgate);
--   4. test it with a record as the older library wrote it, in each of its states.
-- A field that is merely new needs none of this: an older record lacks it, and whoever reads it allows for nil.
local SCHEMA = 1

-- How many entries people and dashboards can look back on. Trimmed ones stay counted in `stats`.
local DECISIONS_KEPT = 10000

-- How many waived bookings are listed.
local WAIVED_KEPT = 10000

-- Requests of one account for one event type and start within this time (ms, by createdAt) come from
-- one click (Cal.com issue 13548).
local TWIN_MS = 120000

-- How long (ms, from the first that was looked at) the bookings of a series are gathered.
local GATHER_MS = 2000

-- How long (ms) a booking waits for another one in flight, if nothing wakes it before.
local WAIT_MS = 5000

-- A booking that has to wait for another one of its series waits as long again as it has, but so long (ms)
-- at least and at most.
local SERIES_WAIT_MS = 500
local SERIES_WAIT_MOST_MS = 300000

-- In observe mode a booking that is to be acted on waits so long (ms) until it is looked at again.
local OBSERVE_AGAIN_MS = 60000

-- How many calls to Cal.com a booking remembers, and how often it was requeued or discarded.
local CALLS_KEPT = 20
local MENDED_KEPT = 10

-- While the queue is paused a worker asks again after this long (ms).
local PAUSE_AGAIN_MS = 2000

-- So many names at most may stand in the queue before one that is put back where it was: one for each
-- worker that waited for work when the queue was paused.
local PUT_BACK_MOST = 64

-- How long (ms, from its beginning) a call that nobody heard the answer of may still run at Cal.com: whoever has
-- the booking may look at once, but asks for nothing before, and what it sees is no last word.
local UNFINISHED_CALL_MS = 30000

-- A booking that was in hand when so many workers died is taken alone: it may be what kills them.
local SUSPECT_DEATHS = 2

-- A worker has one blocking pop at a time; more than one name lies unadopted only after answers were
-- lost.
local ADOPTED_MOST = 16

-- The largest whole number that a Lua number and every JSON reader hold exactly.
local MAX_CREDITS = 9007199254740991

-- The time of this call (ms), once somebody asked for it.
local time_ms

-- How numbers are written. A 32-bit Redis has no %d for 10^10.
local WHOLE

-- What every function begins with.
local function begin_call()
  time_ms = nil
  if not redis then
    redis, cjson, math, string, table, collectgarbage, error, ipairs, loadstring, next, pairs, pcall, select, setmetatable,
      tonumber, tostring, type, unpack = standard()
    WHOLE = string.format('%d', MAX_CREDITS) == string.format('%.0f', MAX_CREDITS) and '%d' or '%.0f'
  end
end

local function namespace(keys)
  begin_call()
  local prefix = keys[1] and keys[1]:match('^({[^{}]+}:)queue$')
  if not prefix then
    error({ err = 'ERR tollgate: KEYS[1] must be {namespace}:queue' })
  end
  return prefix
end

-- The same few numbers are written and read again and again: now, 0, a start.
local MOST_REMEMBERED = 1000

-- As `make`, which is asked once for each of the values that came last.
local function remembering(make)
  local made, count = {}, 0
  return function(value)
    local result = made[value]
    if not result then
      result = make(value)
      if count >= MOST_REMEMBERED then
        made, count = {}, 0
      end
      made[value] = result
      count = count + 1
    end
    return result
  end
end

-- The text of a whole number. Lua's own `..` writes 10^15 as 1e+15.
local integer = remembering(function(number)
  return string.format(WHOLE, number)
end)

-- As tonumber.
local number_of = remembering(function(text)
  return tonumber(text)
end)

-- Time stands still during a call, as it does for Redis.
local function now_ms()
  if not time_ms then
    local time = redis.call('TIME')
    time_ms = number_of(time[1]) * 1000 + math.floor(time[2] / 1000)
  end
  return time_ms
end

local function is_whole(number)
  return type(number) == 'number' and number % 1 == 0 and number <= MAX_CREDITS and number >= -MAX_CREDITS
end

-- A flat reply or argument list from index `first` (to `last`) as a table.
local function pairs_of(flat, first, last)
  local map = {}
  for i = first or 1, last or #flat, 2 do
    map[flat[i]] = flat[i + 1]
  end
  return map
end

-- HGETALL as a table; nil when there is no such hash. Somebody may have put something else under the
-- key: one such key must not stop everybody's take. Then the second answer is Redis's error text.
local function hash_get(key)
  redis.setresp(3) -- Redis answers with the table, and nobody has to make it of a list
  local reply = redis.pcall('HGETALL', key)
  redis.setresp(2)
  if not reply.map or next(reply.map) == nil then
    return nil, reply.err
  end
  return reply.map
end

-- Remembers in a hash of at most `most` fields what is wrong with `name`, or that nothing is any more (text
-- nil). Answers whether it is news.
local function note_wrong(key, name, text, most)
  local known = redis.call('HGET', key, name)
  if not text then
    redis.call('HDEL', key, name)
    return false
  elseif known == text or (not known and redis.call('HLEN', key) >= most) then
    return false
  end
  redis.call('HSET', key, name, text)
  return true
end

-- One page of the keys that begin with `prefix` (and then a pattern, if one is given), of `count` that are looked
-- through. Answers the next cursor ('0': that was the last page) and how the keys go on behind the prefix.
local function scan(prefix, cursor, count, pattern)
  local match = prefix:gsub('[*?%[%]\\]', '\\%0') .. (pattern or '') .. '*'
  local page = redis.call('SCAN', cursor, 'MATCH', match, 'COUNT', count)
  local names = {}
  for i, key in ipairs(page[2]) do
    names[i] = key:sub(#prefix + 1)
  end
  return page[1], names
end

-- Counters that survive restarts are gathered in a table and written once per call.
local function stats_add(counts, name, by)
  counts[name] = (counts[name] or 0) + (by or 1)
end

local function stats_write(ns, counts)
  for name, by in pairs(counts) do
    redis.call('HINCRBY', ns .. 'stats', name, by)
  end
end

-- A text as a whole number from 0 up; nil when it is none.
local function count_of(text)
  local number = text and number_of(text)
  return number and is_whole(number) and number >= 0 and number or nil
end

-- An argument that must be a whole number of milliseconds, a count or a token.
local function number_argument(args, index, name)
  local number = count_of(args[index])
  if not number then
    error({ err = 'ERR tollgate: ' .. name .. ' must be a whole number, not ' .. tostring(args[index]) })
  end
  return number
end
