-- Precondition: the worker owns the entry, and the job lives.
-- Effect: the stage's output is kept for the next stage, its input is not; the image's task
-- moves to the next stream.
-- Returns 1; 0 where fenced off or the job has ended.
-- KEYS: job, artifacts, stream, next stream.
-- ARGV: group, entry, worker, job id, image, artifact_ttl_s, output's field, output, input's
-- field ('' for the base stage).
local job, artifacts, stream, next_stream = unpack(KEYS)
local group, entry, worker, job_id, image, ttl_s, output_field, output, input_field = unpack(ARGV)

if not owned(stream, group, entry, worker) then
  return 0
end
settle(stream, group, entry)
if not alive(job) then
  return 0
end
redis.call('HSET', artifacts, output_field, output)
redis.call('HDEL', artifacts, input_field)
redis.call('EXPIRE', artifacts, ttl_s)
redis.call('XADD', next_stream, '*', 'job', job_id, 'image', image)
return 1
