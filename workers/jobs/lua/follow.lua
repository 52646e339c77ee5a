-- Precondition: none.
-- Effect: what happens to the job is kept for followed_s from now, if it has not ended; of one that
-- has, what is there. For as long workers show previews, where they are wanted.
-- Returns the fields of the job's record; how many tasks come before its next, see read.lua; the
-- id of the latest event; 1 where the event that the follower has seen is there, and so all that
-- came after it, else 0.
-- ARGV: job id, id of the event or '', followed_s, 1 where previews are wanted and else 0.
local job_id, after, followed_s, wants_previews = unpack(ARGV)
local job, events, previews = keys.job .. job_id, keys.events .. job_id, keys.previews .. job_id
local UNSEEN_END = '0-1'  -- for a job that no one has followed to its end

local function id_of(rows)
  return rows[1] and rows[1][1]
end

if alive(job_id) and redis.call('EXISTS', events) == 0 then
  redis.call('XADD', events, '*', 'kind', 'state', 'value', '')
end
if alive(job_id) and wants_previews == '1' then
  if redis.call('EXISTS', previews) == 0 then
    redis.call('XADD', previews, '0-1', 'png', '')
  end
  redis.call('EXPIRE', previews, followed_s)
end
redis.call('EXPIRE', events, followed_s)
local latest = id_of(redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1))
  or redis.call('HGET', job, 'end_event') or UNSEEN_END
local is_there = after ~= '' and id_of(redis.call('XRANGE', events, after, after))
return {redis.call('HGETALL', job), tasks_before(job_id), latest, is_there and 1 or 0}
