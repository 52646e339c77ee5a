-- Precondition: the worker has been alive for a lease without a gap: one that has just come, or
-- come back together with Redis, cannot tell who is dead.
-- Effect: the stage's tasks that are held by workers without a heartbeat are ready again, as are
-- those that the worker itself holds without knowing, since their delivery was lost on the way.
-- A task that was delivered max_deliveries times is given up: its image, or its text, fails.
-- Returns how many are ready again; those given up, each with its job's standing; and the tasks that
-- the worker believes to hold and does not.
-- ARGV: stage, worker, then task and token, as often as the worker holds one.
local stage, worker = unpack(ARGV, 1, 2)
local believed = {}
for i = 3, #ARGV, 2 do
  believed[ARGV[i]] = ARGV[i + 1]
end

local reclaimed, given_up = 0, {}

local function give_up(task, deliveries)
  fail_task(stage, task, 'gave_up', string.format('stage %s: %d workers died with it', stage, deliveries))
  given_up[#given_up + 1] = {task, standing(parts_of(task))}
end

local function take_from(holder, task)
  local job_id, image = parts_of(task)
  local deliveries = tonumber(redis.call('HGET', keys.job .. job_id, deliveries_field(stage, image)))
  if holder ~= worker and deliveries >= settings.max_deliveries then
    return give_up(task, deliveries)
  end
  reclaimed = reclaimed + 1
  take_back(stage, task, holder ~= worker)  -- of its own, no one has died with it
end

local held = {}
local rows = redis.call('HGETALL', keys.held .. stage)
for i = 1, #rows, 2 do
  held[rows[i]] = rows[i + 1]
end

local lost = {}
for task, token in pairs(believed) do
  if held[task] ~= token then
    lost[#lost + 1] = task
  end
end

local since_ms = redis.call('GET', keys.worker .. worker)
if since_ms and now() * 1000 - since_ms >= settings.lease_ms then
  for task, token in pairs(held) do
    local holder = string.match(token, '^(.*)/%d+$')
    local dead = redis.call('EXISTS', keys.worker .. holder) == 0
    local unknown = holder == worker and believed[task] ~= token
    if dead or unknown then
      take_from(holder, task)
    end
  end
end
return {reclaimed, given_up, lost}
