-- Peak hours: a booking that starts in them costs more.
--
--   account  blocked, expires, email as in the default policy
--   terms    `cost` (1) and `cost_peak` (twice `cost`), in credits
--            `peak_hours`: from and to, whole hours on the club's clock, 17-20 when not set: 17:00 is
--            peak, 20:00 no longer. 22-6 goes over midnight.
--            `peak_days`: 1 for Monday to 7 for Sunday, 12345 when not set; the day on which the booking
--            starts counts, also after midnight
--            `utc_offset_minutes` (0): how far the club's clock is ahead of UTC, for instance 60, or -300
--
-- The offset is a fixed one. Where the clocks change in spring and autumn somebody has to change it
-- with them, and until then a booking for after the change is priced an hour off.
--
--   redis-cli HSET '{tollgate}:terms' cost 1 cost_peak 3 peak_hours 17-20 utc_offset_minutes 60

local function is_peak(start, terms)
  local offset = tonumber(terms.utc_offset_minutes or 0)
  if not offset or offset ~= math.floor(offset) or math.abs(offset) > 14 * 60 then
    error('utc_offset_minutes is "' .. terms.utc_offset_minutes .. '", not a number of minutes', 0)
  end
  local hours = terms.peak_hours or '17-20'
  local from, to = string.match(hours, '^(%d%d?)%-(%d%d?)$')
  from, to = tonumber(from), tonumber(to)
  if not from or from > 23 or to > 24 then
    error('peak_hours is "' .. hours .. '", not two hours like 17-20', 0)
  end

  local here = start + offset * 60
  local day = (math.floor(here / 86400) + 3) % 7 + 1   -- 1970-01-01 was a Thursday
  if not string.find(terms.peak_days or '12345', tostring(day), 1, true) then
    return false
  end
  local hour = math.floor(here % 86400 / 3600)
  if from < to then
    return hour >= from and hour < to
  end
  return hour >= from or hour < to
end

return function(booking, account, terms, now)
  local peak = booking.start ~= nil and is_peak(booking.start, terms)
  local cost = tollgate.whole_number(terms.cost or 1, 'cost')
  if peak then
    cost = tollgate.whole_number(terms.cost_peak or 2 * cost, 'cost_peak')
  end

  local function no(reason, class)
    return { accept = false, cost = cost, reason = reason, class = class }
  end

  local refusal, class = tollgate.refusal(booking, account, now)
  if refusal then
    return no(refusal, class)
  end
  if account.balance < cost then
    return no('Not enough credit: ' .. (peak and 'in peak hours ' or '') .. 'this booking costs '
      .. tollgate.credits(cost) .. ', your balance is ' .. tollgate.credits(account.balance) .. '.')
  end
  return { accept = true, cost = cost, reason = (peak and 'peak hours: ' or '') .. tollgate.credits(cost) }
end
