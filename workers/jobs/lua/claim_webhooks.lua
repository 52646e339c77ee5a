-- Precondition: none.
-- Effect: some of the webhooks that are due are the caller's: the attempt is counted, and each is
-- due again after lease_s, in case the caller dies. Those whose job's record is gone are forgotten.
-- Returns job id, attempt and the job's record for each; attempt 0 where it was forgotten.
-- ARGV: the most, lease_s.
local most, lease_s = unpack(ARGV)
local claimed = {}
for _, job_id in ipairs(redis.call('ZRANGEBYSCORE', keys.webhooks, '-inf', now(), 'LIMIT', 0, most)) do
  local job = keys.job .. job_id
  local record = redis.call('HGETALL', job)
  local attempt = 0
  if #record > 0 then
    attempt = redis.call('HINCRBY', job, 'webhook_attempts', 1)
    redis.call('ZADD', keys.webhooks, string.format('%.6f', now() + lease_s), job_id)
  else
    redis.call('ZREM', keys.webhooks, job_id)
  end
  claimed[#claimed + 1] = {job_id, attempt, record}
end
return claimed
