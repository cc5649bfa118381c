-- The Book Club's policy: a member may book while there is enough credit.
--
--   booking  id, uid, account, email, event_type, start and end and received (epoch seconds),
--            first_seen (the event that made it: requested, created, rescheduled),
--            answers, metadata (tables: what the booker filled in, and what the link carried),
--            reschedule (true: it replaces another one, whose credit is back in the balance),
--            occurrence, occurrences (1, 1; of a series 1 to n, n),
--            open (how many other bookings the account has that are undecided or not over yet)
--   account  the account's hash (balance, held, spent are numbers), nil for somebody unknown
--   terms    `cost` and `cost:<eventTypeId>` in credits (1 when neither is set)
--   now      epoch seconds
--
-- The answer: { accept = true or false, cost = credits, reason = text }, or { defer = seconds,
-- reason = text } to be asked again later. The reason of a "no" is what Cal.com tells the member,
-- who is whoever typed the address: it must tell nothing of somebody else. An error() parks the
-- booking for a person. `class` may say in one word what kind of "no" it is, for the counters: credit,
-- account (there is none, or not for this booker), blocked or expired; anything else counts as policy.
--
-- `tollgate` has helpers: cost(booking, terms), refusal(booking, account, now) (why this account may not
-- book at all, and the class of that; or nil), is_set(flag), whole_number(text, name), credits(number), expiry(text),
-- days(year, month, day), belongs(booking, account).
--
-- Fields the operator may set on an account: `blocked` (anything but empty, 0, no or false blocks),
-- `expires` (YYYY-MM-DD: to the end of that day, UTC; or epoch seconds), `email` (where accounts are
-- member numbers: the addresses that may use it, separated by comma, semicolon or space; none: any).

return function(booking, account, terms, now)
  local cost = tollgate.cost(booking, terms)

  local function no(reason, class)
    return { accept = false, cost = cost, reason = reason, class = class }
  end

  local refusal, class = tollgate.refusal(booking, account, now)
  if refusal then
    return no(refusal, class)
  end
  if account.balance < cost then
    return no('Not enough credit: this booking costs ' .. tollgate.credits(cost) .. ', your balance is '
      .. tollgate.credits(account.balance) .. '.', 'credit')
  end
  return {
    accept = true,
    cost = cost,
    reason = string.format('%.0f', cost) .. ' of ' .. tollgate.credits(account.balance),
  }
end
