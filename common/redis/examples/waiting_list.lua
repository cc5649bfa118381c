-- Waiting list: who has too little credit is not refused at once. The booking stays unconfirmed, is
-- looked at again every so often, and is accepted as soon as there is enough credit. Some hours
-- before the start it is refused after all, so that somebody else may have the slot.
--
--   account  blocked, expires, email as in the default policy
--   terms    `wait_hours`: until so many hours before the start (24 when not set)
--            `wait_minutes`: how often to look again (15 when not set)
--            `cost` and `cost:<eventTypeId>` in credits (1 when neither is set)
--
-- Meanwhile Cal.com keeps the slot as it keeps that of every unconfirmed booking.
--
--   redis-cli HSET '{tollgate}:terms' wait_hours 48 wait_minutes 10

return function(booking, account, terms, now)
  local cost = tollgate.cost(booking, terms)

  local function no(reason, class)
    return { accept = false, cost = cost, reason = reason, class = class }
  end

  local refusal, class = tollgate.refusal(booking, account, now)
  if refusal then
    return no(refusal, class)
  end
  if account.balance >= cost then
    return { accept = true, cost = cost, reason = tollgate.credits(cost) }
  end

  local short = 'this booking costs ' .. tollgate.credits(cost) .. ', your balance is '
    .. tollgate.credits(account.balance) .. '.'
  local last_call = (booking.start or 0) - tollgate.whole_number(terms.wait_hours or 24, 'wait_hours') * 3600
  if now >= last_call then
    return no('Not enough credit: ' .. short)
  end
  local pause = tollgate.whole_number(terms.wait_minutes or 15, 'wait_minutes') * 60
  return { defer = math.max(1, math.min(pause, last_call - now, 30 * 86400)), reason = 'Waiting for credit: ' .. short }
end
