-- The gates that are in use, so that who has no key of Cal.com's can see how they stand. A worker that watches lists
-- its own.
--   HASH {ns}:gates  name → `<when it was seen> <limit>`

local gates = {}

do

local GATES_KEPT = 20
local UNUSED_MS = 86400000

local function of_list(ns)
  local list = {}
  for name, text in pairs(hash_get(ns .. 'gates') or {}) do
    local seen_ms, limit = text:match('^(%d+) (%d+)$')
    if seen_ms and name:match('^%x+$') and #name == 16 then
      list[#list + 1] = { name = name, seen_ms = tonumber(seen_ms), limit = limit }
    end
  end
  table.sort(list, function(a, b)
    return a.seen_ms > b.seen_ms or (a.seen_ms == b.seen_ms and a.name < b.name)
  end)
  return list
end

function gates.note(ns, g, now)
  if not g then
    return
  end
  local key = ns .. 'gates'
  redis.call('HSET', key, g.name, integer(now) .. ' ' .. integer(g.limit))
  if redis.call('HLEN', key) > GATES_KEPT then
    local list = of_list(ns)
    redis.call('DEL', key)
    for i = 1, math.min(#list, GATES_KEPT) do
      redis.call('HSET', key, list[i].name, integer(list[i].seen_ms) .. ' ' .. list[i].limit)
    end
  end
end

-- Those that were in use lately, the one seen last first.
function gates.all(ns, now)
  local rows = {}
  for _, one in ipairs(of_list(ns)) do
    if one.seen_ms > now - UNUSED_MS then
      local g = gate.load(ns, { gate = one.name, limit = one.limit }, now)
      local view = gate.view(g)
      local left = tonumber(view[5])
      rows[#rows + 1] = {
        gate = one.name, seen_ms = one.seen_ms, cause = view[1] ~= '' and view[1] or nil,
        note = view[2] ~= '' and view[2] or nil, opened_ms = view[1] ~= '' and g.opened_ms or nil, limit = g.limit,
        used = tonumber(view[4]), left = left >= 0 and left or nil, throttled = tonumber(view[6]),
        throttled_until_ms = (g.throttled_until_ms or 0) > now and g.throttled_until_ms or nil,
      }
    end
  end
  return rows
end

end
