-- Precondition: no one has claimed the webhook since this attempt.
-- Effect: it is due again after pause_s; where its job's record goes before that, it is given up,
-- since there would be nothing left to tell.
-- Returns 1; 0 where it was claimed since; -1 where it was given up.
-- ARGV: job id, attempt, pause_s.
local job_id, attempt, pause_s = unpack(ARGV)
local job = keys.job .. job_id
local latest = redis.call('HGET', job, 'webhook_attempts')
if latest and latest ~= attempt then
  return 0
end
local left_ms = redis.call('PTTL', job)
if left_ms ~= -1 and left_ms < pause_s * 1000 then
  redis.call('ZREM', keys.webhooks, job_id)
  return -1
end
redis.call('ZADD', keys.webhooks, string.format('%.6f', now() + pause_s), job_id)
return 1
