-- A policy's text, read as Lua 5.1 reads it. Redis cannot interrupt a function without undoing the
-- whole take, and offers no debug hook: so every loop and function of a policy is made to count.

local policy_text = {}

-- Called at the start of each turn of a loop and of each function call.
local STEP = 'tollgate_step'
-- Put around the arguments of `:rep(…)`, which goes past any `string` of ours.
local TIMES = 'tollgate_times'

local function string_end(text, at, quote)
  local special = '[\\' .. quote .. ']'
  local i = text:find(special, at + 1)
  while i and text:sub(i, i) == '\\' do
    local after = text:sub(i + 1, i + 2)
    i = text:find(special, i + ((after == '\r\n' or after == '\n\r') and 3 or 2))
  end
  return i or #text
end

local function number_end(text, at)
  local _, last = text:find('^[%d.]+', at)
  local _, exponent = text:find('^[Ee][+-]?', last + 1)
  local _, rest = text:find('^[%w_]+', (exponent or last) + 1)
  return rest or exponent or last
end

-- What begins at `at` (name, string, number, comment, space or symbol), and its last byte.
local function token_at(text, at)
  local comment = text:find('^%-%-', at)
  local level = text:match('^%[(=*)%[', comment and at + 2 or at)
  if level then
    local _, last = text:find(']' .. level .. ']', at, true)
    return comment and 'comment' or 'string', last or #text
  elseif comment then
    local _, last = text:find('^[^\r\n]*', at)
    return 'comment', last
  end
  local quote = text:match('^["\']', at)
  if quote then
    return 'string', string_end(text, at, quote)
  elseif text:find('^%.?%d', at) then
    return 'number', number_end(text, at)
  end
  local _, last = text:find('^[%a_][%w_]*', at)
  if last then
    return 'name', last
  end
  _, last = text:find('^%s+', at)
  if last then
    return 'space', last
  end
  _, last = text:find('^%.%.?%.?', at)
  return 'symbol', last or at
end

-- An iterator over the tokens that mean something: kind, text, first and last byte.
local function tokens(text)
  local at = 1
  return function()
    while at <= #text do
      local first = at
      local kind, last = token_at(text, at)
      at = last + 1
      if kind ~= 'space' and kind ~= 'comment' then
        return kind, text:sub(first, last), first, last
      end
    end
  end
end

-- The text with a step after each `do`, `repeat` and parameter list, on the same line. The text
-- must compile. Nil and an error text when it uses one of our names, and so could undo that.
function policy_text.with_steps(text)
  local parts, from = {}, 1
  local function insert(after, code)
    parts[#parts + 1] = text:sub(from, after) .. code
    from = after + 1
  end
  local parameters = false   -- between `function` and the end of its parameters
  local depth, repeated = 0, {}   -- open parentheses; those that stand around the arguments of :rep
  local before, last_but_one
  for kind, token, first, last in tokens(text) do
    if kind == 'name' and token:find('^tollgate_') then
      local _, line = text:sub(1, first):gsub('\n', '')
      return nil, 'policy:' .. integer(line + 1) .. ': the name ' .. token
        .. ' is taken: choose one that does not begin with tollgate_'
    elseif kind == 'name' and (token == 'do' or token == 'repeat') then
      insert(last, ' ' .. STEP .. '();')
    elseif kind == 'name' and token == 'function' then
      parameters = true
    elseif token == '(' then
      depth = depth + 1
      if before == 'rep' and last_but_one == ':' then
        repeated[depth] = true
        insert(last, TIMES .. '(')
      end
    elseif token == ')' then
      if repeated[depth] then
        repeated[depth] = nil
        insert(first - 1, ')')
      end
      depth = depth - 1
      if parameters then
        parameters = false
        insert(last, ' ' .. STEP .. '();')
      end
    end
    last_but_one, before = before, token
  end
  parts[#parts + 1] = text:sub(from)
  return table.concat(parts)
end

local KEPT_IF_READ = { 'answers', 'metadata' }
local CIRCUMSTANCES = { 'reschedule', 'occurrence', 'occurrences', 'open' }

local function mentioned(text, lists)
  local seen, found = {}, {}
  for kind, token in tokens(text) do
    if kind == 'name' then
      seen[token] = true
    elseif kind == 'string' then
      token:gsub('[%a_]+', function(word)
        seen[word] = true
      end)
    end
  end
  for _, names in ipairs(lists) do
    for _, name in ipairs(names) do
      if seen[name] then
        found[#found + 1] = name
      end
    end
  end
  return table.concat(found, ' ')
end

-- Which of the booker's own words the policy reads, space-separated: what it does not read need not
-- be kept.
function policy_text.needs(text)
  return mentioned(text, { KEPT_IF_READ })
end

-- These, and what it reads of how the booking stands among others.
function policy_text.reads(text)
  return mentioned(text, { KEPT_IF_READ, CIRCUMSTANCES })
end
