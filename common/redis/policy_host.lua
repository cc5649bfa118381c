-- The operator's policy: a Lua chunk that returns function(booking, account, terms, now). Its text
-- and SHA live in `{ns}:policy`, because several namespaces share one Redis and its library.

local policy_host = {}

-- Compiled policies by SHA; an installed text never changes under its SHA.
local compiled = {}

-- The chunk is compiled behind locals of these names that are nil: a policy sees tables, never
-- Redis, and cannot reach what is behind a table. They stand on the policy's own first line, so the
-- line numbers in its errors are right; a text that starts as bytecode does is no bytecode then.
local HIDDEN = 'local tollgate_step=...;local redis,server,_G,load,loadstring,rawget,rawset,rawequal,getmetatable,setmetatable,'
  .. 'collectgarbage,gcinfo,coroutine,cjson,cmsgpack,struct,bit;'

-- Answers the policy's function, or nil and an error text that begins with `policy:LINE:`.
function policy_host.compile(text)
  if text:byte(1) == 27 then
    return nil, 'policy: bytecode is no policy'
  end
  local stepped, message = policy_steps.insert(text)
  if not stepped then
    return nil, message
  end
  local chunk
  chunk, message = loadstring(HIDDEN .. stepped, '=policy')
  if not chunk then
    return nil, message
  end
  policy_steps.reset()
  local ran, decide = pcall(chunk, policy_steps.step)
  if not ran then
    return nil, tostring(decide)
  end
  if type(decide) ~= 'function' then
    return nil, 'policy: the file must return function(booking, account, terms, now), not a ' .. type(decide)
  end
  return decide
end

-- The policy in force as {sha, decide}, or nil and a text.
function policy_host.current(ns)
  local sha = redis.call('HGET', ns .. 'policy', 'sha')
  if not sha then
    return nil, 'no policy is installed in this namespace'
  end
  if not compiled[sha] then
    local decide, message = policy_host.compile(redis.call('HGET', ns .. 'policy', 'text') or '')
    if not decide then
      return nil, message
    end
    compiled[sha] = decide
  end
  return { sha = sha, decide = compiled[sha] }
end

-- A JSON object of the record as a table; empty when there is none.
local function object_of(text)
  local read, value = pcall(cjson.decode, text or '{}')
  if not read or type(value) ~= 'table' then
    return {}
  end
  for key, member in pairs(value) do
    if member == cjson.null then
      value[key] = nil
    end
  end
  return value
end

-- What the policy is shown of a booking: a copy, so that it cannot change ours. `extra`:
--   reschedule    it replaces a booking whose credits the balance shown includes
--   occurrence    which one of its series it is, of how many `occurrences`
--   open          how many other bookings its account holds or has, not over yet
local function booking_view(id, b, extra)
  return {
    answers = object_of(b.answers),
    metadata = object_of(b.metadata),
    reschedule = extra.reschedule,
    occurrence = extra.occurrence,
    occurrences = extra.occurrences,
    open = extra.open,
    id = id,
    uid = b.uid,
    account = b.account,
    email = b.email,
    event_type = b.event_type,
    start = tonumber(b.start),
    ['end'] = tonumber(b['end']),
    received = math.floor(b.received_ms / 1000),
    first_seen = b.first_seen,
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

-- At most `size` bytes of a UTF-8 text, whole characters only.
local function cut(text, size)
  if #text <= size then
    return text
  end
  while size > 0 and text:byte(size + 1) >= 0x80 and text:byte(size + 1) < 0xC0 do
    size = size - 1
  end
  return text:sub(1, size)
end

local function check_answer(answer)
  if type(answer) ~= 'table' then
    return 'policy: the answer must be a table, not ' .. type(answer)
  end
  if answer.defer ~= nil then
    if not is_whole(answer.defer) or answer.defer < 1 or answer.defer > DEFER_MOST_S then
      return 'policy: defer must be whole seconds from 1 to ' .. DEFER_MOST_S .. ', not ' .. tostring(answer.defer)
    end
  elseif type(answer.accept) ~= 'boolean' then
    return 'policy: accept must be true or false, not ' .. tostring(answer.accept)
  elseif not is_whole(answer.cost) or answer.cost < 0 then
    return 'policy: cost must be a whole number of credits from 0 up, not ' .. tostring(answer.cost)
  end
  if type(answer.reason) ~= 'string' or answer.reason == '' then
    return 'policy: reason must be a text, not ' .. tostring(answer.reason)
  end
end

-- Runs the policy on one booking. Answers {accept, cost, reason}, {defer, reason} (ask again after so
-- many seconds), or nil and an error text. `extra`: see booking_view.
function policy_host.decide(policy, id, b, account, terms, now, extra)
  policy_steps.reset()
  local ran, answer =
    pcall(policy.decide, booking_view(id, b, extra), copy(account), copy(terms), math.floor(now / 1000))
  if not ran then
    return nil, tostring(answer)
  end
  local wrong = check_answer(answer)
  if wrong then
    return nil, wrong
  end
  return { defer = answer.defer, accept = answer.accept, cost = answer.cost, reason = cut(answer.reason, 500) }
end

-- Which of the booker's answers and the page's metadata a policy may read: only that is kept of them.
local function needs_of(text)
  local needs = {}
  for _, name in ipairs({ 'answers', 'metadata' }) do
    if text:find('[%.\'"]' .. name) then
      needs[#needs + 1] = name
    end
  end
  return table.concat(needs, ' ')
end

-- Installs a text unless it is the one that last came from the same source, so that a restart does
-- not undo what an operator installed since. Answers 'installed' or 'kept', and the SHA in force.
--   source 'default': only into a namespace without a policy, or over an older version's default
--   source 'file':    when the text differs from the last one that came from a file
function policy_host.install(ns, text, source)
  if source ~= 'default' and source ~= 'file' then
    error({ err = 'ERR tollgate: the source of a policy is default or file, not ' .. tostring(source) })
  end
  local key = ns .. 'policy'
  local sha = redis.sha1hex(text)
  local have = hash_get(key) or {}
  local kept
  if source == 'default' then
    kept = have.sha
      and not (have.source == 'default' and have.sha ~= sha and tonumber(have.version) < VERSION)
  else
    kept = have.file_sha == sha
  end
  if kept then
    return 'kept', have.sha
  end
  local decide, message = policy_host.compile(text)
  if not decide then
    error({ err = 'POLICY ' .. message })
  end
  redis.call('HSET', key, 'text', text, 'sha', sha, 'source', source, 'version', VERSION,
    'installed_ms', integer(now_ms()), 'needs', needs_of(text))
  redis.call('HSET', ns .. 'policies', sha, text)
  if source == 'file' then
    redis.call('HSET', key, 'file_sha', sha)
  end
  compiled[sha] = decide
  return 'installed', sha
end
