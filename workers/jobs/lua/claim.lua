-- Precondition: the entries have been delivered to the caller.
-- Effect: queued jobs among theirs are running; entries whose job is gone or ended are settled.
-- Returns for each entry its job's parameters, or false where it was settled.
-- KEYS: stream, then a job per entry. ARGV: group, then the entries.
local stream, group = KEYS[1], ARGV[1]

local claimed = {}
for i = 2, #KEYS do
  local job = KEYS[i]
  if alive(job) then
    if redis.call('HGET', job, 'status') == 'queued' then
      redis.call('HSET', job, 'status', 'running', 'started_at', now())
    end
    claimed[i - 1] = redis.call('HGET', job, 'parameters')
  else
    settle(stream, group, ARGV[i])
    claimed[i - 1] = false
  end
end
return claimed
