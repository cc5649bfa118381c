-- Which of several webhook secrets is still in use: HASH `{ns}:secrets`, the first 8 hex digits of the secret's
-- SHA-256 -> when a webhook was last signed with it (ms).

local SECRETS_KEPT = 32

local function drop_oldest_secret(key)
  local oldest
  local used = redis.call('HGETALL', key)
  for i = 1, #used, 2 do
    if not oldest or (tonumber(used[i + 1]) or 0) < (tonumber(used[oldest + 1]) or 0) then
      oldest = i
    end
  end
  redis.call('HDEL', key, used[oldest])
end

-- ARGV: name, when it was used last as one ingest knows (ms)
-- Answers when that was as all know.
local function note_secret(keys, args)
  local ns, name = namespace(keys), args[1]
  local used_ms = math.min(number_argument(args, 2, 'the time'), now_ms())
  if #name ~= 8 or name:match('[^0-9a-f]') then
    error({ err = 'ERR tollgate: a secret is named by 8 hex digits' })
  end
  local key = ns .. 'secrets'
  local known = redis.call('HGET', key, name)
  if not known and redis.call('HLEN', key) >= SECRETS_KEPT then
    drop_oldest_secret(key)
  end
  used_ms = math.max(used_ms, tonumber(known or 0) or 0)
  redis.call('HSET', key, name, integer(used_ms))
  return used_ms
end
