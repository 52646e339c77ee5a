-- Precondition: the worker holds the task.
-- Effect: those who follow its job can see what the image looks like so far.
-- Returns 1; 0 where fenced off.
-- ARGV: stage, task, token, steps done and of how many, PNG.
local stage, task, token, steps_done, steps, png = unpack(ARGV)
if not owned(stage, task, token) then
  return 0
end
local job_id, image = parts_of(task)
tell(job_id, 'preview', cjson.encode({tonumber(image), at(stage, steps_done, steps)}), png)
return 1
