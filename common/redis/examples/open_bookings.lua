-- Open bookings: a member has at most so many at a time. One that is over makes room, and so does one
-- that is cancelled or declined.
--
--   account  `max_open`: this member's own limit; blocked, expires, email as in the default policy
--   terms    `max_open`: everybody's limit (3 when not set); `cost` and `cost:<eventTypeId>` in credits
--            (1 when neither is set)
--
-- A booking that replaces an earlier one (a reschedule) needs no more room than that had.
--
--   redis-cli HSET '{tollgate}:terms' max_open 3
--   redis-cli HSET '{tollgate}:credit:member@example.com' max_open 10

return function(booking, account, terms, now)
  local cost = tollgate.cost(booking, terms)

  local function no(reason, class)
    return { accept = false, cost = cost, reason = reason, class = class }
  end

  local refusal, class = tollgate.refusal(booking, account, now)
  if refusal then
    return no(refusal, class)
  end
  local most = tollgate.whole_number(account.max_open or terms.max_open or 3, 'max_open')
  if booking.open >= most and not booking.reschedule then
    return no(string.format('You have %d open bookings, and %d is the most at a time.', booking.open, most))
  end
  if account.balance < cost then
    return no('Not enough credit: this booking costs ' .. tollgate.credits(cost) .. ', your balance is '
      .. tollgate.credits(account.balance) .. '.')
  end
  return {
    accept = true,
    cost = cost,
    reason = string.format('%d of %d open bookings, ', booking.open + 1, most) .. tollgate.credits(cost),
  }
end
