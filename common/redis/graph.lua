-- How busy it was: samples of the counters and of what waits, taken by the first worker that watches in a minute, and
-- of those one each quarter of an hour for a longer look back.
--   STREAM {ns}:graph:hour, {ns}:graph:day   webhooks, accepted, rejected, settled, dead (counted up since ever),
--                                            queue, retry, oldest_s (as it was then)
--   HASH   {ns}:graph                        hour, day: the step that was sampled last

local graph = {}

do

local STEP_MS = { hour = 60000, day = 900000 }

-- One more than there are steps: a point of the graph is what came between two samples.
local KEPT = { hour = 61, day = 97 }

local COUNTED = { 'webhooks', 'accepted', 'rejected', 'settled', 'dead' }
local GAUGES = { 'queue', 'retry', 'oldest_s' }

local function counters(ns)
  local counted = { webhooks = 0, settled = 0 }
  for name, value in pairs(hash_get(ns .. 'stats') or {}) do
    local number = tonumber(value) or 0
    if name:find('^recorded:') then
      counted.webhooks = counted.webhooks + number
    elseif name:find('^settled:') then
      counted.settled = counted.settled + number
    elseif name == 'decided:accept' then
      counted.accepted = number
    elseif name == 'decided:reject' then
      counted.rejected = number
    elseif name == 'dead' then
      counted.dead = number
    end
  end
  return counted
end

-- Takes a sample, if it is time. `gauges` has those of GAUGES.
function graph.sample(ns, now, gauges)
  local last, flat = redis.call('HMGET', ns .. 'graph', 'hour', 'day'), nil
  for i, span in ipairs({ 'hour', 'day' }) do
    local step = integer(math.floor(now / STEP_MS[span]))
    if last[i] ~= step then
      if not flat then
        flat = {}
        local sample = counters(ns)
        for _, name in ipairs(COUNTED) do
          flat[#flat + 1] = name
          flat[#flat + 1] = integer(sample[name] or 0)
        end
        for _, name in ipairs(GAUGES) do
          flat[#flat + 1] = name
          flat[#flat + 1] = integer(math.floor(gauges[name]))
        end
      end
      redis.call('XADD', ns .. 'graph:' .. span, 'MAXLEN', KEPT[span], '*', unpack(flat))
      redis.call('HSET', ns .. 'graph', span, step)
    end
  end
end

-- ARGV: hour or day. Answers {step_s, points: [{at_ms, over_s, …}]}: what came in the step before at_ms, and what
-- waited then. `over_s` is longer than a step where nobody watched for a while.
function graph.read(keys, args)
  local ns, span = namespace(keys), args[1]
  if not STEP_MS[span] then
    refuse('there is a graph of the hour and of the day, none of "' .. tostring(span):sub(1, 80) .. '"')
  end
  local points, before, before_ms = {}, nil, nil
  for _, entry in ipairs(redis.call('XRANGE', ns .. 'graph:' .. span, '-', '+')) do
    local sample, at_ms = pairs_of(entry[2]), tonumber(entry[1]:match('^%d+'))
    if before then
      local point = { at_ms = at_ms, over_s = math.floor((at_ms - before_ms) / 1000 + 0.5) }
      for _, name in ipairs(COUNTED) do
        -- Where somebody deleted the counters they begin anew.
        point[name] = math.max(0, (tonumber(sample[name]) or 0) - (tonumber(before[name]) or 0))
      end
      for _, name in ipairs(GAUGES) do
        point[name] = tonumber(sample[name]) or 0
      end
      points[#points + 1] = point
    end
    before, before_ms = sample, at_ms
  end
  return json.encode({ step_s = STEP_MS[span] / 1000, points = points })
end

end
