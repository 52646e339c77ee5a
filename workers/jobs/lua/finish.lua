-- Precondition: the worker holds the task.
-- Effect: the image is in the record, the stage's input is gone, the task is settled; with the
-- last image the job has ended.
-- Returns the job's standing; 0 where fenced off; -1 where no one can finish it any more: the image
-- has failed, or its job has ended without it.
-- ARGV: stage, task, token, field of the image, image, input's field ('' for the base stage).
local stage, task, token, image_field, image, input_field = unpack(ARGV)
local job_id = parts_of(task)
local job = keys.job .. job_id

if not owned(stage, task, token) then
  local others = redis.call('HEXISTS', keys.held .. stage, task) == 1
    or redis.call('ZSCORE', keys.ready .. stage, task)
    or redis.call('HEXISTS', job, image_field) == 1
    or redis.call('EXISTS', job) == 0  -- no one knows any more
  return others and 0 or -1
end
redis.call('HDEL', keys.artifacts .. job_id, input_field)
settle(stage, task)
redis.call('HSET', job, image_field, image)
tell(job_id, 'image', image)
image_done(job_id)
return standing(job_id)
