-- Precondition: no job of this id, no other request under its idempotency key, and room within
-- the quotas.
-- Effect: the job's record, queued, with its place among the jobs of its priority and its owner's;
-- its text task.
-- Returns JSON. outcome: accepted (with the record's fields and tasks_before, as read.lua returns
-- them), repeated (with the job_id that there was),
-- mismatch (the key was used for another request), or the quota that has no room: queued,
-- owner_queued, owner_per_minute (with wait_ms). Of the owner's allowance: queued_left,
-- per_minute_left, per_minute_reset_ms.
-- ARGV: the job as JSON, see workers/jobs/ledger.py.
local asked = cjson.decode(ARGV[1])
local quotas = asked.quotas
local job = keys.job .. asked.id
local MINUTE_MS = 60000

if asked.idempotency then
  local known = redis.call('GET', asked.idempotency)
  if known then
    local fingerprint, job_id = string.match(known, '^(%S+) (%S+)$')
    if fingerprint ~= asked.fingerprint then
      return cjson.encode({outcome = 'mismatch'})
    end
    return cjson.encode({outcome = 'repeated', job_id = job_id})
  end
end
if redis.call('EXISTS', job) == 1 then
  return cjson.encode({outcome = 'repeated', job_id = asked.id})
end

local answer = {outcome = 'accepted'}

local function beyond(quota, who)
  if not quota then
    return false
  end
  local queued = tonumber(redis.call('HGET', keys.queued, who) or 0)
  return queued + asked.n > quota, math.max(0, quota - queued)
end

-- The generic cell rate algorithm (ITU-T I.371): a minute's images may come at once, and then as
-- they are earned. A request for more than a minute's is let in when all are there.
local function charge_minute(quota)
  local image_ms = MINUTE_MS / quota
  local now_ms = now() * 1000
  local whole_at_ms = math.max(now_ms, tonumber(redis.call('GET', keys.rate .. asked.owner) or 0))
  local wait_ms = whole_at_ms + math.min(asked.n, quota) * image_ms - now_ms - MINUTE_MS
  local refused = math.floor(wait_ms) > 0
  if refused then
    answer.wait_ms = math.ceil(wait_ms)
  else
    whole_at_ms = whole_at_ms + asked.n * image_ms
    redis.call('SET', keys.rate .. asked.owner, string.format('%.3f', whole_at_ms),
      'PX', math.max(1, math.ceil(whole_at_ms - now_ms)))
  end
  answer.per_minute_reset_ms = math.ceil(whole_at_ms - now_ms)
  local left_ms = MINUTE_MS + now_ms - whole_at_ms + 0.01  -- a double of unix ms is less exact
  answer.per_minute_left = math.max(0, math.floor(left_ms / image_ms))
  return refused
end

local full = beyond(quotas.queued, '*')
local owner_full, queued_left = beyond(quotas.owner_queued, asked.owner)
answer.queued_left = queued_left
if full then
  answer.outcome = 'queued'
elseif owner_full then
  answer.outcome = 'owner_queued'
elseif quotas.owner_per_minute and charge_minute(quotas.owner_per_minute) then
  answer.outcome = 'owner_per_minute'
end
if answer.outcome ~= 'accepted' then
  return cjson.encode(answer)
end
if queued_left then
  answer.queued_left = queued_left - asked.n
end

-- Start-time fair queueing (Goyal et al. 1996): a job starts, in virtual time, where the owner's
-- one before ends, but not before what is served now.
local band = BANDS[asked.priority] * BAND
local function virtual_time()
  local least
  for _, stage in ipairs(asked.stages) do
    local head = redis.call('ZRANGEBYSCORE', keys.ready .. stage, string.format('%.0f', band),
      string.format('(%.0f', band + BAND), 'WITHSCORES', 'LIMIT', 0, 1)[2]
    if head then
      least = math.min(least or head, head)
    end
  end
  return least and least - band or tonumber(redis.call('HGET', keys.clock, asked.priority) or 0)
end

local share = keys.share .. asked.owner
local start = math.max(virtual_time(), tonumber(redis.call('HGET', share, asked.priority) or 0))
redis.call('HSET', share, asked.priority, string.format('%.0f', start + asked.n * asked.image_cost))

local created_at = now()
redis.call('HSET', job, 'contract', contract.current, 'status', 'queued',
  'owner', asked.owner, 'priority', asked.priority, 'created_at', created_at,
  'parameters', asked.parameters, 'images', asked.n, 'remaining', asked.n,
  'stages', table.concat(asked.stages, ' '),
  'score', string.format('%.0f', band + start), 'image_cost', asked.image_cost)
if asked.deadline_s then
  local deadline_at = string.format('%.6f', created_at + asked.deadline_s)
  redis.call('HSET', job, 'deadline_at', deadline_at)
  redis.call('ZADD', keys.deadlines, deadline_at, asked.id)
end
for _, field in ipairs({'webhook', 'traceparent'}) do
  if asked[field] then
    redis.call('HSET', job, field, asked[field])
  end
end
if asked.idempotency then
  redis.call('SET', asked.idempotency, asked.fingerprint .. ' ' .. asked.id)
  redis.call('HSET', job, 'idempotency', asked.idempotency)
end

-- The owner's list. Two at random leave where their records have, so that about as many stay
-- without a record as with one, at most: the oldest may be jobs that never end.
local listed = keys.jobs .. asked.owner
for _, any_id in ipairs(redis.call('ZRANDMEMBER', listed, 2)) do
  if redis.call('EXISTS', keys.job .. any_id) == 0 then
    redis.call('ZREM', listed, any_id)
  end
end
local newest_us = redis.call('ZRANGE', listed, -1, -1, 'WITHSCORES')[2] or 0
redis.call('ZADD', listed,
  string.format('%.0f', math.max(created_at * 1e6, newest_us + 1)), asked.id)

redis.call('SADD', keys.stages, unpack(asked.stages))
count_queued(asked.owner, asked.n)
make_ready('text', task_name(asked.id, 'text'))
answer.fields = redis.call('HGETALL', job)
answer.tasks_before = tasks_before(asked.id)
return cjson.encode(answer)
