-- Precondition: the worker's heartbeat is there, else what it gets is taken from it again.
-- Effect: up to `count` tasks, those with the lowest scores, are held by the worker; jobs whose
-- first image is among them are running; a job beyond its deadline has expired instead. A text
-- stays while enough images are to be drawn before its own, and a task whose job is of a contract
-- that this version does not understand: those behind a thousand such are not looked at.
-- Returns {task, token, deliveries, parameters, traceparent or '', 1 where someone watches the job}
-- for each; then the jobs that have expired, each with its standing; then how many tasks that would
-- have gone first are for workers of another contract.
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
  local is_watched = redis.call('EXISTS', keys.previews .. job_id)
  return {task, token, deliveries, parameters, traceparent or '', is_watched}
end

-- Embeddings can be large, and are kept from here on: text must not run far ahead of drawing.
-- Images that would be drawn after those of a text do not hold it up, nor do those of a stage that
-- is not its own.
local MOST_IMAGES_AHEAD = 256
local full = {}
local function text_in_time(task, score)
  local stages = redis.call('HGET', keys.job .. parts_of(task), 'stages')
  local next_stage = stages and string.match(stages, ' (%S+)') or ''
  full[next_stage] = full[next_stage]
    or redis.call('ZCOUNT', keys.ready .. next_stage, '-inf', score) >= MOST_IMAGES_AHEAD
  return not full[next_stage]
end

-- Takes those that go first, each followed by its score; passes over what may not begin yet, and
-- what only another version understands.
local MOST_PASSED_OVER = 1000
local HEADS = 100  -- read at once, where those that go first are not all to be had
local passed_over, of_others = 0, 0
local function first_in_line()
  local taken, most = {}, count
  while #taken < 2 * count and passed_over < MOST_PASSED_OVER do
    local last = passed_over + most - 1
    local heads = redis.call('ZRANGE', keys.ready .. stage, passed_over, last, 'WITHSCORES')
    if #heads == 0 then
      break
    end
    for i = 1, #heads, 2 do
      local task, score = heads[i], heads[i + 1]
      local readable = understood(parts_of(task))
      if readable and (stage ~= 'text' or text_in_time(task, score)) then
        redis.call('ZREM', keys.ready .. stage, task)
        taken[#taken + 1] = task
        taken[#taken + 1] = score
      else
        passed_over = passed_over + 1
        of_others = of_others + (readable and 0 or 1)
      end
      if #taken == 2 * count then
        break
      end
    end
    most = math.max(count, HEADS)
  end
  return taken
end

local claimed = {}
local ready = first_in_line()
for i = 1, #ready, 2 do
  -- A job that expired in this very call took its other tasks with it.
  if alive(parts_of(ready[i])) then
    claimed[#claimed + 1] = deliver(ready[i], ready[i + 1])
  end
end
return {claimed, expired, of_others}
