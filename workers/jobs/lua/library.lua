-- What the transitions share. Put in front of each of them; no transition by itself.
--
-- A task is one image of one job at one stage, or the text of a whole job, and is named
-- <job id>:<index of the image, or text>. It is either ready, or held by one worker, and
-- only while its job lives.
--
-- A Redis that is out of memory refuses a transition whose first write may take some: those that
-- end something begin with one that gives some back.

-- Between the scores of two priorities; virtual times stay below it.
local BAND = 2 ^ 50
local BANDS = {high = 0, normal = 1, low = 2}

-- Redis's clock, in unix seconds.
local function now()
  local time = redis.call('TIME')
  return string.format('%d.%06d', time[1], time[2])
end

local function task_name(job_id, image)
  return job_id .. ':' .. image
end

-- Returns job id and image.
local function parts_of(task)
  return string.match(task, '^(.*):(.*)$')
end

-- The fence: true where the task is still held under this token.
local function owned(stage, task, token)
  return redis.call('HGET', keys.held .. stage, task) == token
end

-- True where the job exists and has not ended.
local function alive(job_id)
  local status = redis.call('HGET', keys.job .. job_id, 'status')
  return status == 'queued' or status == 'running'
end

-- True where this version can read the job's record.
local function understood(job_id)
  local written = tonumber(redis.call('HGET', keys.job .. job_id, 'contract') or 1)
  return contract.oldest <= written and written <= contract.current
end

-- How often a task was handed to a worker is counted in its job's record.
local function deliveries_field(stage, image)
  return 'deliveries:' .. stage .. ':' .. image
end

-- What happens to a job is told to those who follow it, and to no one else. kind, value: see
-- workers/jobs/events.py. Returns the event's id, if any.
local MOST_EVENTS = 2000
local function tell(job_id, kind, value)
  local id = redis.call('XADD', keys.events .. job_id, 'NOMKSTREAM', 'MAXLEN', '~', MOST_EVENTS,
    '*', 'kind', kind, 'value', value or '')
  if id then
    redis.call('PUBLISH', keys.happened, job_id)
  end
  return id
end

-- Which event was the end is kept in the job's record: who has had it is told no more, also when
-- the events are gone.
local function tell_end(job_id)
  local id = tell(job_id, 'end')
  if id then
    redis.call('HSET', keys.job .. job_id, 'end_event', id)
  end
end

-- How far an image is at its stage is kept in its job's record.
local function progress_field(image)
  return 'progress:' .. image
end

local function at(stage, steps_done, steps)
  return stage .. ' ' .. steps_done .. ' ' .. steps
end

-- Takes a task from the one who holds it, for good.
local function settle(stage, task)
  local job_id, image = parts_of(task)
  redis.call('HDEL', keys.held .. stage, task)
  redis.call('HDEL', keys.job .. job_id, deliveries_field(stage, image), progress_field(image))
  redis.call('HSET', keys.job .. job_id, 'settled_at:' .. stage, now())
end

-- Puts a task where workers look for it: the images of a job follow each other at the distance
-- of what one costs.
local function make_ready(stage, task)
  local job_id, image = parts_of(task)
  local first, cost = unpack(redis.call('HMGET', keys.job .. job_id, 'score', 'image_cost'))
  local score = first + (tonumber(image) or 0) * cost
  redis.call('ZADD', keys.ready .. stage, string.format('%.0f', score), task)
  redis.call('HSETNX', keys.job .. job_id, 'ready_at:' .. stage, now())
  redis.call('PUBLISH', keys.arrived .. stage, '')
end

-- Takes a task from the one who holds it, for others, who begin with it anew.
local function take_back(stage, task, counts)
  local job_id, image = parts_of(task)
  local job, field = keys.job .. job_id, progress_field(image)
  redis.call('HDEL', keys.held .. stage, task)
  if not counts then
    redis.call('HINCRBY', job, deliveries_field(stage, image), -1)
  end
  local reached = redis.call('HGET', job, field)
  if reached then
    redis.call('HSET', job, field, at(stage, 0, string.match(reached, '%d+$')))
  end
  make_ready(stage, task)
end

-- Adds to the images that an owner, and all together, have accepted and not done. What the owner
-- has had of the service, and the list of the owner's jobs, stay as long as any are.
local function count_queued(owner, images)
  local function add(who)
    local queued = redis.call('HINCRBY', keys.queued, who, images)
    if queued == 0 then
      redis.call('HDEL', keys.queued, who)
    end
    return queued
  end
  add('*')
  if add(owner) == 0 then
    redis.call('EXPIRE', keys.share .. owner, settings.retention_s)
    redis.call('EXPIRE', keys.jobs .. owner, settings.retention_s)
  else
    redis.call('PERSIST', keys.share .. owner)
    redis.call('PERSIST', keys.jobs .. owner)
  end
end

-- What an owner was to pay for and did not get.
local function give_back(owner, priority, cost)
  local share = keys.share .. owner
  local owed = tonumber(redis.call('HGET', share, priority) or 0)
  redis.call('HSET', share, priority, string.format('%.0f', math.max(0, owed - cost)))
end

-- Takes every task of the job away, whoever has it.
local function drop_tasks(job_id, stages, images)
  local tasks = {task_name(job_id, 'text')}
  for image = 0, images - 1 do
    tasks[#tasks + 1] = task_name(job_id, image)
    redis.call('HDEL', keys.job .. job_id, progress_field(image))
  end
  for stage in string.gmatch(stages, '%S+') do
    redis.call('ZREM', keys.ready .. stage, unpack(tasks))
    redis.call('HDEL', keys.held .. stage, unpack(tasks))
  end
end

local function let_embeddings_go(job)
  for _, embedding in ipairs(redis.call('HMGET', job, 'prompt_embedding', 'negative_embedding')) do
    if embedding and redis.call('HDEL', embedding, job) == 1
        and redis.call('HLEN', embedding) == 1 then
      redis.call('EXPIRE', embedding, settings.embedding_ttl_s)
    end
  end
end

-- The one way into a terminal state. Its tasks, its artifacts and its place in the counts go; its
-- record and its idempotency key get their TTL, its embeddings theirs when no other job needs
-- them; its webhook is due; those who wait for the job, or work on it, are told.
local function end_job(job_id, status)
  local job = keys.job .. job_id
  local owner, priority, remaining, cost, stages, images, idempotency, webhook =
    unpack(redis.call('HMGET', job, 'owner', 'priority', 'remaining', 'image_cost', 'stages',
      'images', 'idempotency', 'webhook'))
  redis.call('DEL', keys.artifacts .. job_id)
  redis.call('ZREM', keys.deadlines, job_id)
  drop_tasks(job_id, stages, images)
  redis.call('HSET', job, 'status', status, 'finished_at', now())
  redis.call('EXPIRE', job, settings.retention_s)
  give_back(owner, priority, remaining * cost)
  count_queued(owner, 0 - remaining)  -- not -remaining: Redis 6.2 refuses -0
  let_embeddings_go(job)
  if idempotency then
    redis.call('EXPIRE', idempotency, settings.retention_s)
  end
  if webhook then
    redis.call('ZADD', keys.webhooks, now(), job_id)
  end
  redis.call('PUBLISH', keys.ended, job_id)
  tell_end(job_id)
end

-- How a job stands after a transition, as text: the s since it was accepted, and its status.
local function standing(job_id)
  local created_at, status = unpack(redis.call('HMGET', keys.job .. job_id, 'created_at', 'status'))
  return string.format('%.6f %s', now() - created_at, status)
end

-- One image less to wait for; after the last one the job has ended.
local function image_done(job_id)
  local job = keys.job .. job_id
  count_queued(redis.call('HGET', job, 'owner'), -1)
  if redis.call('HINCRBY', job, 'remaining', -1) == 0 then
    end_job(job_id, redis.call('HEXISTS', job, 'error') == 1 and 'failed' or 'succeeded')
  end
end

-- A task that cannot be done: without its text the job has failed, without an image it fails when
-- the others are done. The first reason is told.
local function fail_task(stage, task, code, message)
  local job_id, image = parts_of(task)
  local reason = {code = code, message = message, image = tonumber(image)}
  settle(stage, task)
  redis.call('HSETNX', keys.job .. job_id, 'error', cjson.encode(reason))
  if image == 'text' then
    end_job(job_id, 'failed')
  else
    tell(job_id, 'state')
    image_done(job_id)
  end
end

local function expire_job(job_id)
  redis.call('ZREM', keys.deadlines, job_id)
  redis.call('HSETNX', keys.job .. job_id, 'error', cjson.encode({
    code = 'deadline_passed', message = 'the job was not done within its deadline_s'}))
  end_job(job_id, 'expired')
end

-- Of a queued job: the tasks that are done before its next one at the stage where that is, texts
-- not yet encoded and images not yet begun; -1 where it is not queued.
local function tasks_before(job_id)
  local status, score, stages =
    unpack(redis.call('HMGET', keys.job .. job_id, 'status', 'score', 'stages'))
  if status ~= 'queued' then
    return -1
  end
  local first_of_drawing = string.match(stages, ' (%S+)')
  return redis.call('ZCOUNT', keys.ready .. 'text', '-inf', '(' .. score)
    + redis.call('ZCOUNT', keys.ready .. first_of_drawing, '-inf', '(' .. score)
end
