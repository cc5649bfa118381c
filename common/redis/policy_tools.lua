-- What a policy is given beside its arguments: `tollgate`, a few helpers, and a `string` whose `rep`
-- has a limit. Both can be read only, and are made for one run: nothing stays in them.

local policy_tools = {}

-- The longest text that string.rep makes, and the most times that :rep repeats.
local LONGEST_REP = 1048576
local MOST_TIMES = 10000

local HELPERS = {}

-- Whether a flag that a person typed means yes.
function HELPERS.is_set(flag)
  return flag ~= nil and flag ~= '' and flag ~= '0' and flag ~= 'no' and flag ~= 'false'
end

-- A term or a field as a number of credits, hours and the like; `name` is for the error.
function HELPERS.whole_number(text, name)
  local number = tonumber(text)
  if not is_whole(number) or number < 0 then
    error(tostring(name) .. ' is "' .. tostring(text) .. '", not a whole number', 0)
  end
  return number
end

-- "1 credit", "5 credits"
function HELPERS.credits(number)
  return integer(number) .. (number == 1 and ' credit' or ' credits')
end

-- Days since 1970-01-01 of a civil date (Howard Hinnant's days_from_civil).
function HELPERS.days(year, month, day)
  if month <= 2 then
    year = year - 1
  end
  local era = math.floor(year / 400)
  local year_of_era = year - era * 400
  local day_of_year = math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1
  return era * 146097 + year_of_era * 365 + math.floor(year_of_era / 4)
    - math.floor(year_of_era / 100) + day_of_year - 719468
end

local function days_in(year, month)
  local next_year, next_month = year, month + 1
  if month == 12 then
    next_year, next_month = year + 1, 1
  end
  return HELPERS.days(next_year, next_month, 1) - HELPERS.days(year, month, 1)
end

-- The first second (UTC) at which something is no longer valid: of a date the end of that day, or
-- epoch seconds as they are. Nil when nothing is set.
function HELPERS.expiry(text)
  if text == nil or text == '' then
    return nil
  end
  text = tostring(text)
  local year, month, day = string.match(text, '^(%d%d%d%d)-(%d%d)-(%d%d)$')
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  if year and month >= 1 and month <= 12 and day >= 1 and day <= days_in(year, month) then
    return (HELPERS.days(year, month, day) + 1) * 86400
  end
  if string.match(text, '^%d+$') then
    return tonumber(text)
  end
  error('expires is "' .. text .. '", neither YYYY-MM-DD nor epoch seconds', 0)
end

-- Whether the booking's e-mail may use the account: the account is the e-mail, or has it in its field
-- `email` (several: comma, semicolon or space between), or has no such field.
function HELPERS.belongs(booking, account)
  local email = account.email
  if booking.account == booking.email or email == nil or not string.find(email, '[^%s,;]') then
    return true
  end
  local booker = string.lower(booking.email or '')
  for one in string.gmatch(string.lower(email), '[^%s,;]+') do
    if one == booker then
      return true
    end
  end
  return false
end

-- What a booking costs by the terms: those of its event type, else everybody's, else 1 credit.
function HELPERS.cost(booking, terms)
  local own = 'cost:' .. tostring(booking.event_type)
  local name = terms[own] and own or 'cost'
  return HELPERS.whole_number(terms[name] or 1, name)
end

policy_tools.cost = HELPERS.cost

-- Why nobody may book on this account, whatever it costs, and the class of that reason (see policy.lua); nil when
-- somebody may. It is what Cal.com tells the member.
function HELPERS.refusal(booking, account, now)
  if not booking.account then
    return 'This booking names no member account.', 'account'
  end
  if not account then
    return 'There is no member account for ' .. booking.account .. '.', 'account'
  end
  if not HELPERS.belongs(booking, account) then
    return 'The member number does not belong to this e-mail address.', 'account'
  end
  if HELPERS.is_set(account.blocked) then
    return 'Your account is blocked; please contact us.', 'blocked'
  end
  local expiry = HELPERS.expiry(account.expires)
  if expiry and now >= expiry then
    return 'Your membership has expired.', 'expired'
  end
end

local function refuse_change(_, name)
  error('attempt to change ' .. tostring(name) .. ' of a table that can be read only', 2)
end

local function repeat_text(text, times)
  if type(text) == 'string' and tonumber(times) and tonumber(times) * #text > LONGEST_REP then
    error('string.rep: the text would be longer than ' .. integer(LONGEST_REP) .. ' bytes', 2)
  end
  return string.rep(text, times)
end

local HELPERS_META = { __index = HELPERS, __newindex = refuse_change }
local STRING_META = {
  __index = function(_, name)
    if name == 'rep' then
      return repeat_text
    end
    return string[name]
  end,
  __newindex = refuse_change,
}

function policy_tools.helpers()
  return setmetatable({}, HELPERS_META)
end

function policy_tools.strings()
  return setmetatable({}, STRING_META)
end

-- The arguments of text:rep(times), which comes last.
function policy_tools.times(...)
  local times = tonumber((select(select('#', ...), ...)))
  if times and times > MOST_TIMES then
    error('rep: at most ' .. integer(MOST_TIMES) .. ' times', 2)
  end
  return ...
end
