-- Whether the ledgers are in order. Somebody who writes to Redis by hand, a faulty restore or a fault of ours
-- would make one wrong, and nobody would see it before a member complains. So all accounts are looked at, again
-- and again, some at a time: the newest entries of each ledger must follow from one another, and what the
-- account's hash holds must be what they say. (That a balance was set by hand is fine, see credit.book.)
-- scripts/credit verify reads whole ledgers, and compares them with the bookings.
--
--   HASH {ns}:audit       next_ms (when it goes on), cursor (where), done_ms (when all had been looked at)
--   HASH {ns}:unbalanced  account → what is wrong with it; for a person

local audit = {}

do

-- What one call reads at most: a page more than ACCOUNTS, and Redis does nothing else meanwhile.
local PAGES, KEYS, ACCOUNTS = 10, 100, 50
local EVERY_MS = 5000

-- The newest entries of a ledger. Whatever more an account got between two looks is not looked at.
local ENTRIES = 20

local UNBALANCED_KEPT = 1000
local AGAIN = 20 -- of them are looked at again in each call

-- Whether a movement can have changed the purses so.
local function follows(entry, change)
  local amount, kind = tonumber(entry.amount), entry.kind
  if not is_whole(amount) then
    return false
  elseif kind == 'adjust' and entry.by == 'redis-cli' then -- each purse may have been set
    return change.balance + change.held + change.spent == amount
  end
  for _, name in ipairs(kind == 'move' and { 'move', 'move_held' } or { kind }) do
    local effect = MOVEMENTS[name]
    if effect and change.balance == effect.balance * amount and change.held == effect.held * amount
      and change.spent == effect.spent * amount
    then
      return true
    end
  end
  return false
end

-- What is wrong with the newest entries (newest first); nil: nothing.
local function entries_problem(entries)
  local before = #entries < ENTRIES and credit.nobody() or nil
  for i = #entries, 1, -1 do
    local entry, change = pairs_of(entries[i][2]), {}
    for _, purse in ipairs(PURSES) do
      entry[purse] = tonumber(entry[purse])
      if not is_whole(entry[purse]) then
        return 'ledger entry ' .. entries[i][1] .. ' cannot be read'
      end
      change[purse] = before and entry[purse] - before[purse]
    end
    if before and not follows(entry, change) then
      return 'ledger entry ' .. entries[i][1] .. ' (' .. tostring(entry.kind) .. ' ' .. tostring(entry.amount)
        .. ') does not follow from the one before'
    end
    before = entry
  end
end

local function problem(ns, account)
  local purses, message = credit.load(ns, account)
  if message then
    return message
  end
  local entries = redis.call('XREVRANGE', ns .. 'ledger:' .. account, '+', '-', 'COUNT', ENTRIES)
  local held = purses and purses.held or 0
  local told = entries[1] and tonumber(pairs_of(entries[1][2]).held) or 0
  if held ~= told then
    return 'held is ' .. integer(held) .. ', the ledger says ' .. integer(told)
  elseif held < 0 then
    return 'held is ' .. integer(held)
  end
  return entries_problem(entries)
end

-- Keys of ledgers and of accounts, as Redis matches names: one walk meets both.
local LEDGER_OR_CREDIT = '[lc][er][de][gd][ei][rt]:'

-- Whose ledgers come next, and those that were wrong before. The second answer are accounts that were met.
local function choose(ns, state)
  local chosen, met = redis.call('HRANDFIELD', ns .. 'unbalanced', AGAIN), {}
  local pages, again = 0, #chosen
  repeat
    local names
    state.cursor, names = scan(ns, state.cursor, KEYS, LEDGER_OR_CREDIT)
    for _, name in ipairs(names) do
      local list = name:find('^ledger:') and chosen or name:find('^credit:') and met
      if list then
        list[#list + 1] = name:sub(8)
      end
    end
    pages = pages + 1
  until state.cursor == '0' or pages == PAGES or #chosen - again >= ACCOUNTS
  return chosen, met
end

-- Keeps the list of all accounts: what an older library or HSET made comes to it, what somebody deleted leaves it.
local function keep_list(ns, met)
  local flat = {}
  for _, account in ipairs(met) do
    flat[#flat + 1] = 0
    flat[#flat + 1] = account
  end
  if #flat > 0 then
    redis.call('ZADD', ns .. 'accounts', unpack(flat))
  end
  for _, account in ipairs(redis.call('ZRANDMEMBER', ns .. 'accounts', AGAIN)) do
    if redis.call('EXISTS', ns .. 'credit:' .. account) == 0 then
      redis.call('ZREM', ns .. 'accounts', account)
    end
  end
end

-- Goes on, if it is time. Answers what is news, {account, what is wrong, …}.
function audit.go_on(ns, now)
  local state, news = hash_get(ns .. 'audit') or {}, {}
  if (tonumber(state.next_ms) or 0) > now then
    return news
  end
  state.cursor = count_of(state.cursor) and state.cursor or '0'
  local chosen, met = choose(ns, state)
  keep_list(ns, met)
  for _, account in ipairs(chosen) do
    local text = problem(ns, account)
    if note_wrong(ns .. 'unbalanced', account, text, UNBALANCED_KEPT) then
      news[#news + 1] = account
      news[#news + 1] = text
    end
  end
  redis.call('HSET', ns .. 'audit', 'cursor', state.cursor, 'next_ms', integer(now + EVERY_MS))
  if state.cursor == '0' then
    redis.call('HSET', ns .. 'audit', 'done_ms', integer(now))
  end
  return news
end

end
