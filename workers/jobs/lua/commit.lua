-- Precondition: the worker holds the task.
-- Effect: the stage's output is kept for the next stage, its input is not; the image's task is
-- ready at the next stage.
-- Returns 1; 0 where fenced off.
-- ARGV: stage, task, token, next stage and its steps, output's field, output, input's field ('' for
-- the base stage).
local stage, task, token, next_stage, steps, output_field, output, input_field = unpack(ARGV)

if not owned(stage, task, token) then
  return 0
end
local job_id = parts_of(task)
local artifacts = keys.artifacts .. job_id
redis.call('HSET', artifacts, output_field, output)
redis.call('HDEL', artifacts, input_field)
settle(stage, task)
local _, image = parts_of(task)
redis.call('HSET', keys.job .. job_id, progress_field(image), at(next_stage, 0, steps))
make_ready(next_stage, task)
return 1
