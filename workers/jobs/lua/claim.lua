-- Precondition: the worker's heartbeat is there, else what it gets is taken from it again.
-- Effect: up to `count` tasks, those with the lowest scores, are held by the worker; jobs whose
-- first image is among them are running; a job beyond its deadline has expired instead. No text
-- is given out while enough images are to be drawn before its own.
-- Returns {task, token, deliveries, parameters} for each.
-- ARGV: stage, worker, count.
local stage, worker, count = unpack(ARGV)

-- Embeddings can be large, and are kept from here on: text must not run far ahead of drawing.
-- Images that would be drawn after those of the next text do not hold it up.
local MOST_IMAGES_AHEAD = 256
local function is_far_ahead()
  local head, score = unpack(redis.call('ZRANGE', keys.ready .. stage, 0, 0, 'WITHSCORES'))
  if stage ~= 'text' or not head then
    return false
  end
  local stages = redis.call('HGET', keys.job .. parts_of(head), 'stages')
  local next_stage = keys.ready .. string.match(stages, ' (%S+)')
  return redis.call('ZCOUNT', next_stage, '-inf', score) >= MOST_IMAGES_AHEAD
end

-- Drawing has come so far, in virtual time.
local function advance_clock(priority, score)
  local reached = score % BAND
  if reached > tonumber(redis.call('HGET', keys.clock, priority) or 0) then
    redis.call('HSET', keys.clock, priority, string.format('%.0f', reached))
  end
  redis.call('EXPIRE', keys.clock, settings.retention_s)
end

local function deliver(task, score)
  local job_id, image = parts_of(task)
  local job = keys.job .. job_id
  local status, parameters, priority, deadline_at =
    unpack(redis.call('HMGET', job, 'status', 'parameters', 'priority', 'deadline_at'))
  if deadline_at and tonumber(deadline_at) <= tonumber(now()) then
    return expire_job(job_id)
  end
  if stage ~= 'text' then
    advance_clock(priority, score)
    if status == 'queued' then
      redis.call('HSET', job, 'status', 'running', 'started_at', now())
    end
  end
  local deliveries = redis.call('HINCRBY', job, deliveries_field(stage, image), 1)
  local token = worker .. '/' .. redis.call('HINCRBY', job, 'claims', 1)
  redis.call('HSET', keys.held .. stage, task, token)
  return {task, token, deliveries, parameters}
end

if is_far_ahead() then
  return {}
end
local claimed = {}
local ready = redis.call('ZPOPMIN', keys.ready .. stage, count)
for i = 1, #ready, 2 do
  -- A job that expired in this very call took its other tasks with it.
  if alive(parts_of(ready[i])) then
    claimed[#claimed + 1] = deliver(ready[i], ready[i + 1])
  end
end
return claimed
