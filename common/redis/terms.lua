-- The terms, by which the policy decides: `cost`, `cost:<eventTypeId>`, `refund_notice_hours`, and whatever else the
-- operator's policy reads.

local set_terms

do

local MOST_TERMS = 1000
local LONGEST_NAME, LONGEST_VALUE = 100, 1000

-- What these must be, because we read them.
local function check_known(name, value)
  if (name == 'cost' or name:find('^cost:')) and (not count_of(value) or not value:match('^%d+$')) then
    refuse(name .. ' must be a whole number of credits from 0 up, not "' .. value:sub(1, 80) .. '"')
  elseif name == 'refund_notice_hours' and not (tonumber(value) and tonumber(value) >= 0 and tonumber(value) < math.huge) then
    refuse('refund_notice_hours must be a number of hours from 0 up, not "' .. value:sub(1, 80) .. '"')
  end
end

-- As they would be then, and what is new about them, in words.
local function changed(have, args, first)
  local terms, words = {}, {}
  for name, value in pairs(have) do
    terms[name] = value
  end
  for i = first, #args, 2 do
    local name, value = args[i], args[i + 1]
    local is_new = value == nil or have[name] ~= value -- a form sends all; what redis-cli set stays as it is
    if is_new and (name == '' or #name > LONGEST_NAME or name:find('[%c%s]')) then
      refuse('a term is named by 1 to ' .. LONGEST_NAME .. ' bytes without spaces, not "' .. name:sub(1, 80) .. '"')
    elseif is_new and (value == nil or #value > LONGEST_VALUE) then
      refuse('the term "' .. name .. '" has ' .. (value and 'more than ' .. LONGEST_VALUE .. ' bytes' or 'no value'))
    elseif is_new and value ~= '' then
      check_known(name, value)
    end
    value = value ~= '' and value or nil
    if terms[name] ~= value then
      words[#words + 1] = name .. (value and '=' .. value or ' removed')
      terms[name] = value
    end
  end
  return terms, words
end

-- ARGV: by, note, the SHA of the terms as somebody saw them ('': whatever they are), then term, value, …; '' removes one.
-- Answers JSON: {"sha": of the terms as they are now}. The next booking is decided by them.
set_terms = function(keys, args)
  local ns = namespace(keys)
  local by, note = operate.words_of(args, 1)
  local have, wrong = hash_get(ns .. 'terms')
  if wrong then
    refuse('the terms cannot be read: ' .. wrong)
  elseif (args[3] or '') ~= '' and args[3] ~= decide.sha_of_terms(have or {}) then
    refuse('the terms were changed meanwhile; look at them again')
  elseif #args - 3 > 2 * (MOST_TERMS + 1) then
    refuse('at most ' .. MOST_TERMS .. ' terms can be set at once')
  end
  local terms, words = changed(have or {}, args, 4)
  local count, flat = 0, {}
  for name, value in pairs(terms) do
    count = count + 1
    flat[#flat + 1] = name
    flat[#flat + 1] = value
  end
  if count > MOST_TERMS then
    refuse('there are at most ' .. MOST_TERMS .. ' terms')
  end
  if #words > 0 then
    for name in pairs(have or {}) do
      if terms[name] == nil then
        redis.call('HDEL', ns .. 'terms', name)
      end
    end
    if count > 0 then
      redis.call('HSET', ns .. 'terms', unpack(flat))
    end
    changes.note(ns, { by = by, what = 'set the terms', about = table.concat(words, ', '), note = note })
  end
  return json.encode({ sha = (decide.sha_of_terms(terms)) })
end

end
