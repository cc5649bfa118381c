-- Tiers: what a booking costs depends on the member's tier.
--
--   account  `tier`, for instance gold (none: the tier `standard`), and blocked, expires, email as in
--            the default policy
--   terms    `cost:<tier>:<eventTypeId>`, `cost:<tier>`, `cost:<eventTypeId>`, `cost`: the first of these
--            that is set is the price in credits, 1 when none is. `closed` as a price means that the
--            tier may not book this at all.
--
--   redis-cli HSET '{tollgate}:terms' cost 2 cost:gold 1 cost:gold:1207 0 cost:standard:1300 closed
--   redis-cli HSET '{tollgate}:credit:member@example.com' tier gold

local function price(booking, tier, terms)
  local event_type = tostring(booking.event_type)
  for _, name in ipairs({ 'cost:' .. tier .. ':' .. event_type, 'cost:' .. tier, 'cost:' .. event_type, 'cost' }) do
    if terms[name] == 'closed' then
      return nil
    elseif terms[name] then
      return tollgate.whole_number(terms[name], name)
    end
  end
  return 1
end

return function(booking, account, terms, now)
  local tier = account and account.tier or ''
  if tier == '' then
    tier = 'standard'
  end
  local cost = price(booking, tier, terms)

  local function no(reason, class)
    return { accept = false, cost = cost or 0, reason = reason, class = class }
  end

  local refusal, class = tollgate.refusal(booking, account, now)
  if refusal then
    return no(refusal, class)
  end
  if not cost then
    return no('This cannot be booked with a ' .. tier .. ' membership.')
  end
  if account.balance < cost then
    return no('Not enough credit: with a ' .. tier .. ' membership this booking costs '
      .. tollgate.credits(cost) .. ', your balance is ' .. tollgate.credits(account.balance) .. '.')
  end
  return { accept = true, cost = cost, reason = tier .. ': ' .. tollgate.credits(cost) }
end
