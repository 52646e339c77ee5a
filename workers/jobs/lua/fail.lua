-- Precondition: the worker owns the entry, and the job lives.
-- Effect: the job has failed, for the reason given. Its other tasks are settled when they are
-- next claimed or committed.
-- Returns 1; 0 where fenced off or the job has ended.
-- KEYS: job, artifacts, stream.
-- ARGV: group, entry, worker, reason, then `ending` as end_job has it.
local job, artifacts, stream = unpack(KEYS)
local group, entry, worker, reason = unpack(ARGV, 1, 4)
local ending = {unpack(ARGV, 5)}

if not owned(stream, group, entry, worker) then
  return 0
end
settle(stream, group, entry)
if not alive(job) then
  return 0
end
redis.call('HSET', job, 'error', reason)
end_job(job, artifacts, 'failed', ending)
return 1
