-- Precondition: the worker holds the tasks; of one that it does not nothing is told.
-- Effect: how far they are stands in the records of their jobs, and is told to those who follow
-- these, at most once in PAUSE_MS for each job.
-- Returns the tasks whose images someone wants to see.
-- ARGV: stage, then task, token, steps done and of how many, as often as there are tasks.
local stage = ARGV[1]
local PAUSE_MS = 250

-- All images of the job that are under way.
local function tell_progress(job_id)
  local job = keys.job .. job_id
  local told_ms = tonumber(redis.call('HGET', job, 'progress_told_ms') or 0)
  if math.abs(now() * 1000 - told_ms) < PAUSE_MS then  -- a clock may be set back
    return
  end
  redis.call('HSET', job, 'progress_told_ms', string.format('%.0f', now() * 1000))
  local images = {}
  for image = 0, redis.call('HGET', job, 'images') - 1 do
    local reached = redis.call('HGET', job, progress_field(image))
    if reached then
      images[#images + 1] = {image, reached}
    end
  end
  tell(job_id, 'progress', cjson.encode(images))
end

local watched, followed = {}, {}
for i = 2, #ARGV, 4 do
  local task, token, steps_done, steps = unpack(ARGV, i, i + 3)
  if owned(stage, task, token) then
    local job_id, image = parts_of(task)
    redis.call('HSET', keys.job .. job_id, progress_field(image), at(stage, steps_done, steps))
    if redis.call('EXISTS', keys.events .. job_id) == 1 then
      followed[job_id] = true
    end
    if redis.call('EXISTS', keys.previews .. job_id) == 1 then
      watched[#watched + 1] = task
    end
  end
end
for job_id in pairs(followed) do
  tell_progress(job_id)
end
return watched
