-- Precondition: the worker owns the entry, and the job lives.
-- Effect: the image is in the record, the stage's input is gone, the task is settled; with the
-- last image the job has succeeded.
-- Returns 1; 0 where fenced off or the job has ended.
-- KEYS: job, artifacts, stream.
-- ARGV: group, entry, worker, field of the image, image, input's field ('' for the base stage),
-- then `ending` as end_job has it.
local job, artifacts, stream = unpack(KEYS)
local group, entry, worker, image_field, image, input_field = unpack(ARGV, 1, 6)
local ending = {unpack(ARGV, 7)}

if not owned(stream, group, entry, worker) then
  return 0
end
settle(stream, group, entry)
if not alive(job) then
  return 0
end
redis.call('HSET', job, image_field, image)
redis.call('HDEL', artifacts, input_field)
if redis.call('HINCRBY', job, 'remaining', -1) == 0 then
  end_job(job, artifacts, 'succeeded', ending)
end
return 1
