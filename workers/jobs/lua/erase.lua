-- Precondition: the job exists.
-- Effect: it is canceled if it lives; its prompts and images are gone from the record, which stays
-- for as long as it would have, and from what its followers may still read; it is listed no more.
-- Returns 1; 0 where the job is gone.
-- ARGV: job id, its parameters without the prompts.
local job_id, parameters = unpack(ARGV)
local job = keys.job .. job_id
if redis.call('EXISTS', job) == 0 then
  return 0
elseif redis.call('HEXISTS', job, 'erased') == 1 then
  return 1
end
if alive(job_id) then
  end_job(job_id, 'canceled')
end
for image = 0, redis.call('HGET', job, 'images') - 1 do
  redis.call('HDEL', job, 'image:' .. image)
end
-- Embeddings are named by what they embed, and warnings quote it.
redis.call('HDEL', job, 'prompt_embedding', 'negative_embedding', 'warnings')
redis.call('HSET', job, 'parameters', parameters, 'erased', 1)
redis.call('ZREM', keys.jobs .. redis.call('HGET', job, 'owner'), job_id)
-- Those who follow it are told again that it has ended, and no more.
redis.call('DEL', keys.previews .. job_id)
redis.call('XTRIM', keys.events .. job_id, 'MAXLEN', 0)
tell_end(job_id)
return 1
