-- What the programs may call. Steps that free credit or finish a booking run even when Redis is at
-- its memory limit.

-- ARGV: text, source ('default', 'file' or 'operator') [, by]. Answers {'installed' or 'kept', SHA in
-- force}.
local function install_policy(keys, args)
  local ns, by = namespace(keys), args[3] or ''
  local answer, sha = policy_host.install(ns, args[1], args[2], by)
  if answer == 'installed' and args[2] ~= 'default' then
    changes.note(ns, { by = by ~= '' and by or args[2], what = 'installed a policy', about = sha })
  end
  return { answer, sha }
end

-- ARGV: text. Answers {'ok', SHA, what it reads (see policy_text.reads)}, and installs nothing.
local function check_policy(keys, args)
  namespace(keys)
  local policy, message = policy_host.load(args[1])
  if not policy then
    error({ err = 'POLICY ' .. message })
  end
  return { 'ok', policy.sha, policy_text.reads(args[1]) }
end

-- A JSON object given as an argument. Amounts may stand in it as text: cjson keeps 14 digits only.
local function object_argument(args, index, name)
  local object = policy_host.object(args[index])
  if not object then
    error({ err = 'ERR tollgate: ' .. name .. ' must be a JSON object' })
  end
  return object
end

-- The account that a try is about; nil for nobody. The second answer is an error text.
local function account_to_try(ns, json, account)
  if json == 'null' then
    return nil
  elseif json ~= '' then
    local shown = object_argument({ json }, 1, 'the account')
    for _, purse in ipairs({ 'balance', 'held', 'spent' }) do
      shown[purse] = tonumber(shown[purse] or 0)
    end
    return shown
  elseif type(account) ~= 'string' then
    return nil
  end
  local purses, message = credit.load(ns, account)
  return purses and credit.shown(purses), message
end

local function answer_to_json(verdict, message)
  if not verdict then
    return '{"error":' .. cjson.encode(message) .. '}'
  end
  local what = verdict.defer and '"defer":' .. integer(verdict.defer)
    or '"accept":' .. tostring(verdict.accept) .. ',"cost":' .. integer(verdict.cost)
  return '{' .. what .. ',"reason":' .. cjson.encode(verdict.reason) .. '}'
end

-- ARGV: text ('': the policy in force), booking (JSON, as a policy sees it), account (JSON; '': the real
-- one, null: nobody), terms (JSON; '': the real ones), now (epoch seconds; '': now). Changes nothing.
-- Answers JSON: {"accept":…,"cost":…,"reason":…}, {"defer":…,"reason":…} or {"error":…}
local function try_policy(keys, args)
  local ns = namespace(keys)
  local policy, message
  if args[1] == '' then
    policy, message = policy_host.current(ns)
  else
    policy, message = policy_host.load(args[1])
  end
  if not policy then
    error({ err = 'POLICY ' .. message })
  end
  local view = object_argument(args, 2, 'the booking')
  local account
  account, message = account_to_try(ns, args[3], view.account)
  local terms = args[4] == '' and (hash_get(ns .. 'terms') or {}) or object_argument(args, 4, 'the terms')
  local now = args[5] == '' and now_ms() / 1000 or number_argument(args, 5, 'now')
  if message then
    return answer_to_json(nil, message)
  end
  return answer_to_json(policy_host.try(policy, view, account, terms, math.floor(now)))
end

-- ARGV: the caller's own version (programs older than 6 do not tell theirs). Answers this library's.
local function version(_, args)
  begin_call()
  local caller = tonumber(args[1]) or 5
  if caller < OLDEST then
    error({ err = string.format('TOOOLD this Redis has version %d of the library, which serves programs from version %d on. '
      .. 'This one is of version %d: upgrade it', VERSION, OLDEST, caller) })
  end
  return VERSION
end

register_function({ function_name = 'tollgate_version', callback = version, flags = { 'no-writes' } })
register_function('tollgate_record', record)
register_function('tollgate_record_many', record_many)
register_function('tollgate_take', take)
register_function({ function_name = 'tollgate_begin', callback = begin, flags = { 'allow-oom' } })
register_function({ function_name = 'tollgate_settle', callback = settle, flags = { 'allow-oom' } })
register_function({ function_name = 'tollgate_retry', callback = retry, flags = { 'allow-oom' } })
register_function('tollgate_join', join)
register_function({ function_name = 'tollgate_give_back', callback = give_back, flags = { 'allow-oom' } })
register_function({ function_name = 'tollgate_leave', callback = leave, flags = { 'allow-oom' } })
register_function({ function_name = 'tollgate_lease', callback = lease, flags = { 'allow-oom' } })
register_function({ function_name = 'tollgate_reap', callback = reap, flags = { 'allow-oom' } })
register_function({ function_name = 'tollgate_report', callback = gate.report, flags = { 'allow-oom' } })
register_function('tollgate_reserve', gate.reserve_me)
register_function('tollgate_sweep', sweep.step)
register_function('tollgate_found', sweep.found)
register_function('tollgate_grant', grant)
register_function('tollgate_debit', debit)
register_function('tollgate_member', member)
register_function({ function_name = 'tollgate_pause', callback = operate.pause, flags = { 'allow-oom' } })
register_function({ function_name = 'tollgate_resume', callback = operate.resume, flags = { 'allow-oom' } })
register_function({ function_name = 'tollgate_requeue', callback = operate.requeue, flags = { 'allow-oom' } })
register_function({ function_name = 'tollgate_discard', callback = operate.discard, flags = { 'allow-oom' } })
register_function({ function_name = 'tollgate_rule', callback = rule.call, flags = { 'allow-oom' } })
register_function('tollgate_terms', set_terms)
register_function({ function_name = 'tollgate_watch', callback = watch, flags = { 'allow-oom' } })
register_function('tollgate_secret', note_secret)
register_function('tollgate_policy', install_policy)
register_function({ function_name = 'tollgate_policy_check', callback = check_policy, flags = { 'no-writes' } })
register_function({ function_name = 'tollgate_policy_try', callback = try_policy, flags = { 'no-writes' } })
register_function({ function_name = 'tollgate_overview', callback = overview, flags = { 'no-writes' } })
register_function({ function_name = 'tollgate_graph', callback = graph.read, flags = { 'no-writes' } })
register_function({ function_name = 'tollgate_decisions', callback = views.decisions, flags = { 'no-writes' } })
register_function({ function_name = 'tollgate_story', callback = views.story, flags = { 'no-writes' } })
register_function({ function_name = 'tollgate_members', callback = views.members, flags = { 'no-writes' } })
register_function({ function_name = 'tollgate_account', callback = views.account, flags = { 'no-writes' } })
register_function({ function_name = 'tollgate_attention', callback = views.attention, flags = { 'no-writes' } })
register_function({ function_name = 'tollgate_policy_show', callback = views.policy, flags = { 'no-writes' } })
register_function({ function_name = 'tollgate_changes', callback = views.changes, flags = { 'no-writes' } })
register_function({ function_name = 'tollgate_system', callback = views.system, flags = { 'no-writes' } })
