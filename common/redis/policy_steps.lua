-- A policy without end must not keep Redis busy: FUNCTION KILL ends the whole take and is caught by no
-- pcall, and Redis offers no debug.sethook. So a policy's text is given a call `tollgate_step();` at the
-- beginning of each loop's body and of each function: whatever goes on for ever passes one of them.
-- Nothing but these calls is inserted, on the line that is there, so line numbers stay right.

local policy_steps = {}

local STEPS_MOST = 100000

local STEP = ' tollgate_step();'

-- The end of the long bracket ([[ … ]], [==[ … ]==]) that begins at `i`; nil when none does.
local function long_bracket_end(text, i)
  local level = text:match('^%[(=*)%[', i)
  if not level then
    return nil
  end
  local _, last = text:find(']' .. level .. ']', i, true)
  return last or #text
end

-- The end of the string in quotes that begins at `i`.
local function quoted_end(text, i)
  local quote = text:sub(i, i)
  local at = i + 1
  while at <= #text do
    local c = text:sub(at, at)
    if c == '\\' then
      at = at + 1
    elseif c == quote or c == '\n' then
      return at
    end
    at = at + 1
  end
  return #text
end

-- The end of what begins at `i` and holds no code: a comment or a string. Nil for code.
local function skip_end(text, i)
  local two = text:sub(i, i + 1)
  if two == '--' then
    return long_bracket_end(text, i + 2) or (text:find('\n', i, true) or #text + 1) - 1
  end
  local c = two:sub(1, 1)
  if c == '"' or c == "'" then
    return quoted_end(text, i)
  elseif c == '[' then
    return long_bracket_end(text, i)
  end
end

-- The text with its steps; nil and a text when it uses the step's own name.
function policy_steps.insert(text)
  local out, i, in_parameters, awaits_parameters = {}, 1, false, false
  while i <= #text do
    local last = skip_end(text, i)
    local word = not last and text:match('^[%a_][%w_]*', i)
    local number = not last and not word and text:match('^%d[%w_.]*', i)
    last = last or i + #(word or number or ' ') - 1
    local piece = text:sub(i, last)
    out[#out + 1] = piece
    if word == 'tollgate_step' then
      return nil, 'policy: the name tollgate_step is taken'
    elseif word == 'do' or word == 'repeat' then
      out[#out + 1] = STEP
    elseif word == 'function' then
      awaits_parameters = true
    elseif awaits_parameters and piece == '(' then
      awaits_parameters, in_parameters = false, true
    elseif in_parameters and piece == ')' then
      in_parameters = false
      out[#out + 1] = STEP
    end
    i = last + 1
  end
  return table.concat(out)
end

local steps = 0

-- Beyond the limit every step raises, so that no pcall of the policy's own goes on for long.
function policy_steps.step()
  steps = steps + 1
  if steps > STEPS_MOST then
    error('policy: stopped after ' .. STEPS_MOST .. ' steps; does it ever end?', 0)
  end
end

function policy_steps.reset()
  steps = 0
end
