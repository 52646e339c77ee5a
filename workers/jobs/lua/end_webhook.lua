-- Precondition: no one has claimed the webhook since this attempt.
-- Effect: it is delivered, or given up: it is never due again.
-- Returns 1; 0 where it was claimed since.
-- ARGV: job id, attempt.
local job_id, attempt = unpack(ARGV)
local latest = redis.call('HGET', keys.job .. job_id, 'webhook_attempts')
if latest and latest ~= attempt then  -- without its record no one can claim it
  return 0
end
redis.call('ZREM', keys.webhooks, job_id)
return 1
