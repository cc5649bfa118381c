-- The operator's policy: a Lua chunk that returns function(booking, account, terms, now). Its text
-- and SHA live in `{ns}:policy`, because several namespaces share one Redis and its library; every text
-- ever installed stays in `{ns}:policies` under its SHA, so that old decisions can be explained.

local policy_host = {}

-- Lua allows 200 local names at a time, over all parts: what only this one needs ends with it.
do

-- The limits of one decision.
local MOST_STEPS = 100000
local MOST_KILOBYTES = 16384
local MOST_DEFER_S = 30 * 86400

-- As many bytes as the worker takes from TOLLGATE_POLICY_FILE.
local LONGEST_POLICY = 65536
local LONGEST_REASON = 500

-- Compiled policies by SHA; an installed text never changes under its SHA. They are few, but nobody
-- counts what is only tried.
local MOST_COMPILED = 16
local compiled, compiled_count = {}, 0

-- The chunk is compiled behind locals of these names that are nil: a policy sees tables, never
-- Redis, and cannot reach what is behind a table. They stand on the policy's own first line, so the
-- line numbers in its errors are right; a text that starts as bytecode does is no bytecode then.
local HIDDEN = 'local redis,server,_G,load,loadstring,rawget,rawset,rawequal,getmetatable,setmetatable,'
  .. 'collectgarbage,gcinfo,coroutine,cjson,cmsgpack,struct,bit;'

-- What it gets instead. They come as the chunk's arguments; a policy that reads its own `...` finds
-- nothing there that it does not have anyway.
local GIVEN = 'local tollgate_step,tollgate_times,string,tollgate=...;'

-- What the policy that runs has used, and may.
local steps, kilobytes = 0, 0

-- Beyond a limit each further step fails as well, so that a pcall in the policy cannot go on.
local function step()
  steps = steps + 1
  if steps > MOST_STEPS then
    error('stopped after ' .. integer(MOST_STEPS) .. ' steps, does it ever end?', 2)
  end
  if collectgarbage('count') > kilobytes then
    error('stopped after taking ' .. integer(MOST_KILOBYTES / 1024) .. ' MiB of memory', 2)
  end
end

-- Runs the chunk up to its function. Each decision starts there: what a policy keeps in its locals is
-- forgotten with it, so that the same inputs give the same answer, in any namespace and any order.
local function start(chunk)
  steps, kilobytes = 0, collectgarbage('count') + MOST_KILOBYTES
  return chunk(step, policy_tools.times, policy_tools.strings(), policy_tools.helpers())
end

local function run(chunk, ...)
  return start(chunk)(...)
end

-- What a policy raised, as a text.
local function raised(value)
  if type(value) == 'string' then
    return json.cut(value, LONGEST_REASON)
  end
  return 'policy: it raised ' .. (value == nil and 'nil' or 'a ' .. type(value)) .. ' instead of a text'
end

-- Answers the policy's chunk, or nil and an error text that begins with `policy:LINE:`.
function policy_host.compile(text)
  if #text > LONGEST_POLICY then
    return nil, 'policy: it is longer than ' .. integer(LONGEST_POLICY) .. ' bytes'
  end
  -- As it stands first: errors of syntax are about what the operator wrote.
  local chunk, message = loadstring(HIDDEN .. text, '=policy')
  if not chunk then
    return nil, message
  end
  local counting
  counting, message = policy_text.with_steps(text)
  if not counting then
    return nil, message
  end
  chunk, message = loadstring(HIDDEN .. GIVEN .. counting, '=policy')
  if not chunk then
    return nil, message
  end
  local ran, decide = pcall(start, chunk)
  if not ran then
    return nil, raised(decide)
  end
  if type(decide) ~= 'function' then
    return nil, 'policy: the file must return function(booking, account, terms, now), not a ' .. type(decide)
  end
  return chunk
end

-- A text as {sha, chunk}, or nil and an error text.
function policy_host.load(text)
  local sha = redis.sha1hex(text)
  if not compiled[sha] then
    local chunk, message = policy_host.compile(text)
    if not chunk then
      return nil, message
    end
    if compiled_count >= MOST_COMPILED then
      compiled, compiled_count = {}, 0
    end
    compiled[sha] = chunk
    compiled_count = compiled_count + 1
  end
  return { sha = sha, chunk = compiled[sha] }
end

-- The policy in force as {sha, chunk}, or nil and a text.
function policy_host.current(ns)
  local sha = redis.call('HGET', ns .. 'policy', 'sha')
  if not sha then
    return nil, 'no policy is installed in this namespace'
  end
  if compiled[sha] then
    return { sha = sha, chunk = compiled[sha] }
  end
  local policy, message = policy_host.load(redis.call('HGET', ns .. 'policy', 'text') or '')
  if policy then
    policy.sha = sha
  end
  return policy, message
end

-- A decoded JSON value without its nulls.
local function without_nulls(value)
  if type(value) ~= 'table' then
    return value
  end
  local result = {}
  for name, part in pairs(value) do
    if part ~= cjson.null then
      result[name] = without_nulls(part)
    end
  end
  return result
end

-- A JSON object as a table; nil when it is anything else.
function policy_host.object(json)
  if not json then
    return nil
  end
  local ran, value = pcall(cjson.decode, json)
  return ran and type(value) == 'table' and without_nulls(value) or nil
end

-- What the policy is shown of a booking: a copy, so that it cannot change ours.
-- extra, each with its default: reschedule (false), occurrence (1), occurrences (1), open (0)
local function booking_view(id, b, extra)
  return {
    id = id,
    uid = b.uid,
    account = b.account,
    email = b.email,
    event_type = b.event_type,
    start = tonumber(b.start),
    ['end'] = tonumber(b['end']),
    received = math.floor(b.received_ms / 1000),
    first_seen = b.first_seen,
    answers = policy_host.object(b.answers) or {},
    metadata = policy_host.object(b.metadata) or {},
    reschedule = extra.reschedule or false,
    occurrence = extra.occurrence or 1,
    occurrences = extra.occurrences or 1,
    open = extra.open or 0,
  }
end

local function copy(map)
  if not map then
    return nil
  end
  local result = {}
  for key, value in pairs(map) do
    result[key] = value
  end
  return result
end

-- A value of the policy's in an error about it.
local function shown(value)
  if type(value) == 'string' then
    return '"' .. json.cut(value, 60) .. '"'
  elseif type(value) == 'number' or type(value) == 'boolean' or value == nil then
    return tostring(value)
  end
  return 'a ' .. type(value)
end

-- What kind of "no" a policy may say that it is; counted by, so there are few.
local CLASSES = { credit = true, account = true, blocked = true, expired = true }

-- The policy's answer as {accept, cost, reason, class} or {defer, reason}, or nil and what is wrong with it.
-- Only these fields are looked at, whatever else the answer holds.
local function read_answer(answer)
  if type(answer) ~= 'table' then
    return nil, 'policy: the answer must be a table, not ' .. shown(answer)
  end
  local defer, accept, cost, reason = answer.defer, answer.accept, answer.cost, answer.reason
  if defer then
    if not is_whole(defer) or defer < 1 or defer > MOST_DEFER_S then
      return nil, 'policy: defer must be a whole number of seconds from 1 to ' .. integer(MOST_DEFER_S)
        .. ' (30 days), not ' .. shown(defer)
    end
  elseif type(accept) ~= 'boolean' then
    return nil, 'policy: accept must be true or false, not ' .. shown(accept)
  elseif not is_whole(cost) or cost < 0 then
    return nil, 'policy: cost must be a whole number of credits from 0 up, not ' .. shown(cost)
  end
  if type(reason) ~= 'string' or reason == '' then
    return nil, 'policy: reason must be a text, not ' .. shown(reason)
  end
  reason = json.cut(reason, LONGEST_REASON)
  if not json.is_text(reason) then
    return nil, 'policy: reason must be UTF-8 text without NUL'
  end
  if defer then
    return { defer = defer, reason = reason }
  end
  local class = not accept and CLASSES[answer.class] and answer.class or 'policy'
  return { accept = accept, cost = cost + 0, reason = reason, class = class }   -- + 0: there is a -0
end

-- Asks a policy about a view of a booking; the tables are its own to change. Answers as read_answer.
local function ask(policy, view, account, terms, now_s)
  local ran, answer = pcall(run, policy.chunk, view, account, terms, now_s)
  if not ran then
    return nil, raised(answer)
  end
  return read_answer(answer)
end

-- Runs the policy on one booking. Answers {accept, cost, reason, class}, {defer (seconds), reason}, or nil and
-- an error text. `extra` is optional, see booking_view.
function policy_host.decide(policy, id, b, account, terms, now, extra)
  return ask(policy, booking_view(id, b, extra or {}), copy(account), copy(terms), math.floor(now / 1000))
end

-- Like decide, for what may never have happened: a view of a booking, and an account and terms as
-- they are shown, all tables. What the view lacks is as ordinary as can be.
function policy_host.try(policy, view, account, terms, now_s)
  local ordinary = { id = '0', received = now_s, first_seen = 'requested', answers = {}, metadata = {},
    reschedule = false, occurrence = 1, occurrences = 1, open = 0 }
  for name, value in pairs(ordinary) do
    if view[name] == nil then
      view[name] = value
    end
  end
  for _, name in ipairs({ 'id', 'event_type' }) do
    if type(view[name]) == 'number' then
      view[name] = integer(view[name])
    end
  end
  return ask(policy, view, account, terms, now_s)
end

-- Whether a text from this source is to be left aside for what is in force:
--   default   goes only into a namespace without a policy, or over an older version's default
--   file      when it is the one that last came from a file, so that a restart does not undo what
--             somebody installed since
--   operator  never
local function is_kept(have, sha, source)
  if source == 'default' then
    return have.sha
      and not (have.source == 'default' and have.sha ~= sha and tonumber(have.version) < VERSION)
  end
  return source == 'file' and have.file_sha == sha
end

-- Installs a text unless it is kept out. Answers 'installed' or 'kept', and the SHA in force.
-- `by` says who, where somebody did.
function policy_host.install(ns, text, source, by)
  if source ~= 'default' and source ~= 'file' and source ~= 'operator' then
    error({ err = 'ERR tollgate: the source of a policy is default, file or operator, not ' .. tostring(source) })
  end
  local key = ns .. 'policy'
  local sha = redis.sha1hex(text)
  local have = hash_get(key) or {}
  if is_kept(have, sha, source) then
    return 'kept', have.sha
  end
  local policy, message = policy_host.load(text)
  if not policy then
    error({ err = 'POLICY ' .. message })
  end
  redis.call('HSET', key, 'text', text, 'sha', sha, 'source', source, 'version', VERSION,
    'installed_ms', integer(now_ms()), 'installed_by', by or '', 'needs', policy_text.needs(text))
  if source == 'file' then
    redis.call('HSET', key, 'file_sha', sha)
  end
  redis.call('HSET', ns .. 'policies', sha, text)
  return 'installed', sha
end

end
