-- What the programs may call. Steps that free credit or finish a booking run even when Redis is at
-- its memory limit.

-- ARGV: text, source ('default' or 'file'). Answers {'installed' or 'kept', SHA in force}.
local function install_policy(keys, args)
  return { policy_host.install(namespace(keys), args[1], args[2]) }
end

local function version()
  return VERSION
end

redis.register_function({ function_name = 'tollgate_version', callback = version, flags = { 'no-writes' } })
redis.register_function('tollgate_record', record)
redis.register_function('tollgate_take', take)
redis.register_function({ function_name = 'tollgate_settle', callback = settle, flags = { 'allow-oom' } })
redis.register_function({ function_name = 'tollgate_retry', callback = retry, flags = { 'allow-oom' } })
redis.register_function('tollgate_join', join)
redis.register_function({ function_name = 'tollgate_give_back', callback = give_back, flags = { 'allow-oom' } })
redis.register_function({ function_name = 'tollgate_leave', callback = leave_work, flags = { 'allow-oom' } })
redis.register_function('tollgate_policy', install_policy)
redis.register_function('tollgate_grant', grant)
redis.register_function('tollgate_debit', debit)
redis.register_function('tollgate_member', member)
