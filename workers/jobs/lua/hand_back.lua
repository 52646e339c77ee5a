-- Precondition: the worker still holds the tasks; one that it does not is left alone.
-- Effect: they are ready again at once, and this delivery does not count.
-- Returns how many were.
-- ARGV: stage, then task and token for each.
local stage = ARGV[1]
local returned = 0
for i = 2, #ARGV, 2 do
  local task, token = ARGV[i], ARGV[i + 1]
  if owned(stage, task, token) then
    local job_id, image = parts_of(task)
    redis.call('HDEL', keys.held .. stage, task)
    redis.call('HINCRBY', keys.job .. job_id, deliveries_field(stage, image), -1)
    make_ready(stage, task)
    returned = returned + 1
  end
end
return returned
