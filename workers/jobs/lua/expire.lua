-- Precondition: none.
-- Effect: jobs whose deadline has passed have expired, some hundred at a time.
-- Returns the ms until the next deadline, 0 where there are more that have passed, -1 for none; then
-- the jobs that have expired, each with its standing.
local MOST = 100
local due = redis.call('ZRANGEBYSCORE', keys.deadlines, '-inf', now(), 'LIMIT', 0, MOST)
local expired = {}
for _, job_id in ipairs(due) do
  expire_job(job_id)
  expired[#expired + 1] = {job_id, standing(job_id)}
end
local next_at = redis.call('ZRANGE', keys.deadlines, 0, 0, 'WITHSCORES')[2]
return {next_at and math.max(0, math.ceil((next_at - now()) * 1000)) or -1, expired}
