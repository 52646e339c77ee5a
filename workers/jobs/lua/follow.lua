-- Precondition: none.
-- Effect: what happens to the job is kept for followed_s from now, if it has not ended: one that
-- has keeps what is there.
-- Returns the fields of the job's record; how many tasks come before its next, see read.lua; the
-- id of the latest event, or '' where none are kept; 1 where all events after the one that the
-- follower has seen are there, else 0.
-- ARGV: job id, id of the event or '', followed_s.
local job_id, after, followed_s = unpack(ARGV)
local events = keys.events .. job_id

-- Of the first of some events.
local function id_of(rows)
  return rows[1] and rows[1][1]
end

if alive(job_id) and redis.call('EXISTS', events) == 0 then
  redis.call('XADD', events, '*', 'kind', 'state', 'value', '', 'png', '')
end
redis.call('EXPIRE', events, followed_s)
local latest = id_of(redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1))
local goes_on = after ~= '' and id_of(redis.call('XRANGE', events, after, after))
return {redis.call('HGETALL', keys.job .. job_id), tasks_before(job_id), latest or '',
  goes_on and 1 or 0}
