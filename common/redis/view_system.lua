-- What everything stands on, as the console shows it: the policy and the terms in force, Redis, and how much is kept.

do

local KEYS_OF = {
  LLEN = { 'queue', 'outages' },
  ZCARD = { 'retry', 'dead', 'known', 'waived', 'workers', 'accounts' },
  HLEN = { 'done', 'drift', 'unbalanced', 'policies', 'terms', 'gates' },
  XLEN = { 'decisions', 'changes', 'pauses' },
}

-- Of INFO; what is text stays so.
local INFO_OF = {
  server = { 'redis_version', 'valkey_version', 'redis_mode', 'uptime_in_seconds' },
  memory = { 'used_memory', 'used_memory_peak', 'used_memory_dataset', 'maxmemory', 'maxmemory_policy' },
  persistence = { 'aof_enabled', 'aof_last_write_status', 'rdb_last_save_time', 'rdb_last_bgsave_status', 'loading' },
  stats = { 'evicted_keys', 'expired_keys' },
  replication = { 'role', 'connected_slaves' },
}

local NAMED = { redis_version = 'version', uptime_in_seconds = 'uptime_s' }

-- What Redis says of itself; nothing where the user may not ask.
local function about_redis()
  local told = {}
  for section, names in pairs(INFO_OF) do
    local text = redis.pcall('INFO', section)
    for _, name in ipairs(type(text) == 'string' and names or {}) do
      local value = text:match('\n' .. name .. ':([^\r\n]*)')
      if value and value ~= '' then
        told[NAMED[name] or name] = name ~= 'redis_version' and json.number(value) or value
      end
    end
  end
  local size = redis.pcall('DBSIZE')
  told.keys = type(size) == 'number' and size or nil
  return told
end

-- Answers JSON: {redis, library, schema, keys: {name: how many}}
function views.system(keys)
  local ns, sizes = namespace(keys), {}
  for command, names in pairs(KEYS_OF) do
    for _, name in ipairs(names) do
      local size = redis.pcall(command, ns .. name)
      sizes[name] = type(size) == 'number' and size or nil
    end
  end
  return '{"redis":' .. json.object(about_redis()) .. ',"library":' .. integer(VERSION) .. ',"oldest_served":'
    .. integer(OLDEST) .. ',"schema":' .. integer(SCHEMA) .. ',"now_ms":' .. integer(now_ms()) .. ',"keys":'
    .. json.object(sizes) .. '}'
end

-- Answers JSON: the policy in force, where there is one, and the terms.
function views.policy(keys)
  local ns = namespace(keys)
  local have, in_force = hash_get(ns .. 'policy') or {}, hash_get(ns .. 'terms') or {}
  return json.encode({
    text = have.text, sha = have.sha, source = have.source, by = have.installed_by ~= '' and have.installed_by or nil,
    at_ms = count_of(have.installed_ms), needs = have.needs ~= '' and have.needs or nil,
    terms = json.fields(in_force), terms_sha = (decide.sha_of_terms(in_force)),
  })
end

end
