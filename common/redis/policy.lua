-- The Book Club's policy: a member may book while there is enough credit.
--
--   booking  id, uid, account, email, event_type, start and end and received (epoch seconds),
--            answers, metadata (tables), reschedule, occurrence, occurrences, open; see policy_host.lua
--   account  the account's hash (balance, held, spent are numbers), nil for somebody unknown
--   terms    `cost` and `cost:<eventTypeId>` in credits (1 when neither is set)
--   now      epoch seconds
--
-- Fields the operator may set on an account: `blocked` (anything but empty, 0, no or false blocks),
-- `expires` (YYYY-MM-DD: to the end of that day, UTC; or epoch seconds), `email` (where accounts are
-- member numbers: the addresses that may use it).
-- The reason of a "no" is what Cal.com tells the member. An error() parks the booking for a person.

local function whole_number(text, name)
  local number = tonumber(text)
  if not number or number ~= math.floor(number) or number < 0 then
    error(name .. ' is "' .. tostring(text) .. '", not a whole number of credits', 0)
  end
  return number
end

local function is_set(flag)
  return flag ~= nil and flag ~= '' and flag ~= '0' and flag ~= 'no' and flag ~= 'false'
end

-- Whether an address is in a list, separated by commas, semicolons or spaces.
local function is_among(address, list)
  for one in string.gmatch(string.lower(list), '[^,; ]+') do
    if one == address then
      return true
    end
  end
  return false
end

-- Days since 1970-01-01 of a civil date (Howard Hinnant's days_from_civil).
local function days(year, month, day)
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
  return days(next_year, next_month, 1) - days(year, month, 1)
end

-- The first second at which an account is no longer valid.
local function expiry(text)
  local year, month, day = string.match(text, '^(%d%d%d%d)-(%d%d)-(%d%d)$')
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  if year and month >= 1 and month <= 12 and day >= 1 and day <= days_in(year, month) then
    return (days(year, month, day) + 1) * 86400
  end
  if string.match(text, '^%d+$') then
    return tonumber(text)
  end
  error('expires is "' .. text .. '", neither YYYY-MM-DD nor epoch seconds', 0)
end

local function credits(number)
  return string.format('%.0f', number) .. (number == 1 and ' credit' or ' credits')
end

return function(booking, account, terms, now)
  local own = 'cost:' .. tostring(booking.event_type)
  local name = terms[own] and own or 'cost'
  local cost = whole_number(terms[name] or 1, name)

  local function no(reason)
    return { accept = false, cost = cost, reason = reason }
  end

  if not booking.account then
    return no('This booking names no member account.')
  end
  if not account then
    return no('There is no member account for ' .. booking.account .. '.')
  end
  if booking.account ~= booking.email and is_set(account.email) and not is_among(booking.email, account.email) then
    return no('The member number does not belong to this e-mail address.')
  end
  if is_set(account.blocked) then
    return no('Your account is blocked; please contact us.')
  end
  if account.expires and account.expires ~= '' and now >= expiry(account.expires) then
    return no('Your membership has expired.')
  end
  if account.balance < cost then
    return no('Not enough credit: this booking costs ' .. credits(cost) .. ', your balance is '
      .. credits(account.balance) .. '.')
  end
  return {
    accept = true,
    cost = cost,
    reason = string.format('%.0f', cost) .. ' of ' .. credits(account.balance),
  }
end
