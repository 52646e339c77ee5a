-- Precondition: the worker holds the task.
-- Effect: the image, or with its text the whole job, has failed for the reason given.
-- Returns the job's standing; 0 where fenced off.
-- ARGV: stage, task, token, the reason's code and message.
local stage, task, token, code, message = unpack(ARGV)

if not owned(stage, task, token) then
  return 0
end
fail_task(stage, task, code, message)
return standing(parts_of(task))
