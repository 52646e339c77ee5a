-- Precondition: the worker holds the task.
-- Effect: those who want to can see what the image looks like so far. Of a job the latest previews
-- are kept.
-- Returns 1; 0 where fenced off, or no one wants to see it.
-- ARGV: stage, task, token, steps done and of how many, PNG.
local stage, task, token, steps_done, steps, png = unpack(ARGV)
local MOST_PREVIEWS = 32
if not owned(stage, task, token) then
  return 0
end
local job_id, image = parts_of(task)
local previews = keys.previews .. job_id
if redis.call('EXISTS', previews) == 0 then
  return 0
end
local id = tell(job_id, 'preview', cjson.encode({tonumber(image), at(stage, steps_done, steps)}))
if id then
  redis.call('XADD', previews, 'MAXLEN', MOST_PREVIEWS, id, 'png', png)
end
return id and 1 or 0
