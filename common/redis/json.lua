-- Texts, and what is told as JSON to who shows it. Texts come from bookers, hosts, files and redis-cli, and may
-- hold any byte: what is no UTF-8 is told as U+FFFD, and so is NUL, for neither has a place in JSON that every
-- reader takes.

local json = {}

do

-- The last byte of the characters that begin at `at` and are as UTF-8 has them (RFC 3629, and no NUL); at - 1 when
-- the first is not.
local function well_formed(value, at)
  local last = at - 1
  while true do
    local from = last + 1
    local _, found = value:find('^[\1-\127]+', from)
    if not found then
      _, found = value:find('^[\194-\223][\128-\191]', from)
    end
    if not found then
      local first, second = value:byte(from, from + 1)
      local low = first == 224 and 160 or first == 240 and 144 or 128
      local high = first == 237 and 159 or first == 244 and 143 or 191
      if first and first >= 224 and first <= 244 and second and second >= low and second <= high then
        _, found = value:find(first < 240 and '^[\128-\191]' or '^[\128-\191][\128-\191]', from + 2)
      end
    end
    if not found then
      return last
    end
    last = found
  end
end

-- Whether a text can be told as it is.
function json.is_text(value)
  return not value:find('[%z\128-\255]') or well_formed(value, 1) == #value
end

-- At most `size` bytes of a UTF-8 text, whole characters only.
function json.cut(text, size)
  if #text <= size then
    return text
  end
  while size > 0 and text:byte(size + 1) >= 0x80 and text:byte(size + 1) < 0xC0 do
    size = size - 1
  end
  return text:sub(1, size)
end

local REPLACEMENT = '\239\191\189'

local function readable(value)
  if not value:find('[%z\128-\255]') then
    return value
  end
  local parts, at = {}, 1
  while at <= #value do
    local last = well_formed(value, at)
    parts[#parts + 1] = last >= at and value:sub(at, last) or REPLACEMENT
    at = math.max(last, at) + 1
  end
  return table.concat(parts)
end

local encode

local function encode_members(map)
  local parts, count = {}, 0
  for name, value in pairs(map) do
    count = count + 1
    parts[count] = cjson.encode(readable(tostring(name))) .. ':' .. encode(value)
  end
  return '{' .. table.concat(parts, ',') .. '}'
end

local function encode_list(list)
  local parts = {}
  for i, value in ipairs(list) do
    parts[i] = encode(value)
  end
  return '[' .. table.concat(parts, ',') .. ']'
end

encode = function(value)
  local kind = type(value)
  if kind == 'string' then
    return cjson.encode(readable(value))
  elseif is_whole(value) then
    return integer(value) -- cjson writes 14 digits
  elseif kind == 'number' then
    return value == value and math.abs(value) < math.huge and string.format('%.14g', value) or 'null'
  elseif kind == 'boolean' then
    return tostring(value)
  elseif kind ~= 'table' then
    return 'null'
  elseif value[1] ~= nil or next(value) == nil then
    return encode_list(value)
  end
  return encode_members(value)
end

-- A table as JSON. One that is empty is a list; see json.object.
function json.encode(value)
  return encode(value)
end

-- A table of which nobody knows whether it has members.
function json.object(map)
  return encode_members(map)
end

-- A list of {name, value} in order of the names, of a hash's fields; those of `left_out` not.
function json.fields(map, left_out)
  local list = {}
  for name, value in pairs(map) do
    if type(name) == 'string' and not (left_out and left_out[name]) then
      list[#list + 1] = { name = name, value = value }
    end
  end
  table.sort(list, function(a, b)
    return a.name < b.name
  end)
  return list
end

-- The same of a text that holds a JSON object; what is an object or list in it is told as JSON. Nil where there is none.
function json.fields_of(text)
  local ran, map = pcall(cjson.decode, text or '')
  if not ran or type(map) ~= 'table' then
    return nil
  end
  local told = {}
  for name, value in pairs(map) do
    told[tostring(name)] = type(value) ~= 'table' and value or cjson.encode(value)
  end
  return json.fields(told)
end

-- A number that was kept as text, as such; any other text as it is.
function json.number(text)
  local number = tonumber(text)
  return is_whole(number) and number or text
end

end
