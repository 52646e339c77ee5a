-- Precondition: none.
-- Effect: none.
-- Returns the images accepted and not done, the webhooks that wait for delivery, for each stage that
-- ever had a task its name, how many tasks are ready, how many are held, and for how many s nothing
-- has happened at the stage to the job whose task is next, as text ('0' where none is ready), and
-- the cards of the living workers. The cost does not grow with what waits.
local function lag_s(stage)
  local next_task = redis.call('ZRANGE', keys.ready .. stage, 0, 0)[1]
  if not next_task then
    return '0'
  end
  local moments = redis.call('HMGET', keys.job .. parts_of(next_task),
    'ready_at:' .. stage, 'claimed_at:' .. stage, 'settled_at:' .. stage)
  local latest = 0
  for _, moment in ipairs(moments) do
    latest = math.max(latest, tonumber(moment or 0))
  end
  return string.format('%.6f', latest > 0 and now() - latest or 0)
end

local stages = {}
for _, stage in ipairs(redis.call('SMEMBERS', keys.stages)) do
  local ready = redis.call('ZCARD', keys.ready .. stage)
  local held = redis.call('HLEN', keys.held .. stage)
  stages[#stages + 1] = {stage, ready, held, lag_s(stage)}
end
local queued = tonumber(redis.call('HGET', keys.queued, '*') or 0)
local workers = redis.call('ZRANGEBYSCORE', keys.workers, '(' .. math.floor(now() * 1000), '+inf')
return {queued, redis.call('ZCARD', keys.webhooks), stages, workers}
