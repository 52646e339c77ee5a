-- Precondition: none.
-- Effect: none.
-- Returns the images accepted and not done, the webhooks that wait for delivery, and for each stage
-- that ever had a task its name, how many tasks are ready, how many are held, and for how many s the
-- job whose task is next has waited for the stage, as text ('0' where none is ready). The cost does
-- not grow with what waits.
local function lag_s(stage)
  local next_task = redis.call('ZRANGE', keys.ready .. stage, 0, 0)[1]
  local job = next_task and keys.job .. parts_of(next_task)
  local ready_at = job and redis.call('HGET', job, 'ready_at:' .. stage)
  return string.format('%.6f', ready_at and now() - ready_at or 0)
end

local stages = {}
for _, stage in ipairs(redis.call('SMEMBERS', keys.stages)) do
  local ready = redis.call('ZCARD', keys.ready .. stage)
  local held = redis.call('HLEN', keys.held .. stage)
  stages[#stages + 1] = {stage, ready, held, lag_s(stage)}
end
local queued = tonumber(redis.call('HGET', keys.queued, '*') or 0)
return {queued, redis.call('ZCARD', keys.webhooks), stages}
