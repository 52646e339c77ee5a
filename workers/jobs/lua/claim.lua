-- Precondition: the worker's heartbeat is there, else what it gets is taken from it again.
-- Effect: up to `count` tasks, those with the lowest scores, are held by the worker; jobs whose
-- first image is among them are running; a job beyond its deadline has expired instead. A task
-- stays while the stage after its own has enough to do that goes first.
-- Returns {task, token, deliveries, parameters, traceparent or '', 1 where someone follows the job}
-- for each; then the jobs that have expired, each with its standing.
-- ARGV: stage, worker, count, 1 where the worker may have others beside them and else 0: then the
-- last delivery of a task does not count, since what it dies with may be another.
local stage, worker, count, beside = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

-- Drawing has come so far, in virtual time.
local function advance_clock(priority, score)
  local reached = score % BAND
  if reached > tonumber(redis.call('HGET', keys.clock, priority) or 0) then
    redis.call('HSET', keys.clock, priority, string.format('%.0f', reached))
  end
  redis.call('EXPIRE', keys.clock, settings.retention_s)
end

local expired = {}
local function deliver(task, score)
  local job_id, image = parts_of(task)
  local job = keys.job .. job_id
  local status, parameters, priority, deadline_at, traceparent = unpack(
    redis.call('HMGET', job, 'status', 'parameters', 'priority', 'deadline_at', 'traceparent'))
  if deadline_at and tonumber(deadline_at) <= tonumber(now()) then
    expire_job(job_id)
    expired[#expired + 1] = {job_id, standing(job_id)}
    return nil
  end
  if stage ~= 'text' then
    advance_clock(priority, score)
    if status == 'queued' then
      redis.call('HSET', job, 'status', 'running', 'started_at', now())
      tell(job_id, 'state')
    end
  end
  redis.call('HSETNX', job, 'claimed_at:' .. stage, now())
  local field = deliveries_field(stage, image)
  local deliveries = (tonumber(redis.call('HGET', job, field)) or 0) + 1
  local is_last = 1 < settings.max_deliveries and settings.max_deliveries <= deliveries
  if not is_last or beside == '0' then
    redis.call('HSET', job, field, deliveries)
  end
  local token = worker .. '/' .. redis.call('HINCRBY', job, 'claims', 1)
  redis.call('HSET', keys.held .. stage, task, token)
  local is_followed = redis.call('EXISTS', keys.events .. job_id)
  return {task, token, deliveries, parameters, traceparent or '', is_followed}
end

-- What a stage makes is kept until the next one takes it: no stage runs far ahead of the one that
-- follows it. Images that come after those of a task do not hold it up, nor do those of a stage
-- that is not its own.
local MOST_IMAGES_AHEAD = 256
local MOST_LOOKED_AT = 1000

local function stage_after(stages)
  local is_next = false
  for each in string.gmatch(stages, '%S+') do
    if is_next then
      return each
    end
    is_next = each == stage
  end
end

local function in_time()
  local full, taken = {}, {}
  local function is_full(next_stage, score)
    full[next_stage] = full[next_stage]
      or redis.call('ZCOUNT', keys.ready .. next_stage, '-inf', score) >= MOST_IMAGES_AHEAD
    return full[next_stage]
  end
  local heads = redis.call('ZRANGE', keys.ready .. stage, 0, MOST_LOOKED_AT - 1, 'WITHSCORES')
  for i = 1, #heads, 2 do
    local task, score = heads[i], heads[i + 1]
    local next_stage = stage_after(redis.call('HGET', keys.job .. parts_of(task), 'stages'))
    if not next_stage or not is_full(next_stage, score) then
      redis.call('ZREM', keys.ready .. stage, task)
      taken[#taken + 1] = task
      taken[#taken + 1] = score
    end
    if #taken == 2 * count then
      break
    end
  end
  return taken
end

local claimed = {}
local ready = in_time()
for i = 1, #ready, 2 do
  -- A job that expired in this very call took its other tasks with it.
  if alive(parts_of(ready[i])) then
    claimed[#claimed + 1] = deliver(ready[i], ready[i + 1])
  end
end
return {claimed, expired}
