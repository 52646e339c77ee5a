-- Precondition: no job of this id.
-- Effect: the job's record, queued, and its text task.
-- Returns 1; 0 where the job was there before, so that sending it twice is sending it once.
-- KEYS: job, text stream. ARGV: job id, created_at, parameters, number of images.
local job, stream = unpack(KEYS)
local job_id, created_at, parameters, images = unpack(ARGV)

if redis.call('EXISTS', job) == 1 then
  return 0
end
redis.call('HSET', job, 'status', 'queued', 'created_at', created_at,
  'parameters', parameters, 'remaining', images)
redis.call('XADD', stream, '*', 'job', job_id)
return 1
