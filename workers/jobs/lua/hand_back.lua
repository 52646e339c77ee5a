-- Precondition: the worker still holds the tasks; one that it does not is left alone.
-- Effect: they are ready again at once; this delivery counts only where it is told to.
-- Returns how many were.
-- ARGV: stage, 1 where the delivery counts and else 0, then task and token for each.
local stage, counts = unpack(ARGV, 1, 2)
local returned = 0
for i = 3, #ARGV, 2 do
  local task, token = ARGV[i], ARGV[i + 1]
  if owned(stage, task, token) then
    take_back(stage, task, counts == '1')
    returned = returned + 1
  end
end
return returned
