-- Precondition: none.
-- Effect: some of the webhooks that are due are the caller's: the attempt is counted, and each is
-- due again after lease_s, in case the caller dies. Those of owners who have enough under way are
-- put off a little, so that they do not stand before others', as are those of jobs that only another
-- version understands: they are its to tell. Those whose job's record is gone are forgotten.
-- Returns job id, attempt and the job's record for each; attempt 0 where it was forgotten.
-- ARGV: the most, lease_s, the most of one owner, put_off_s, then owner and number under way, as
-- often as one has some.
local most, lease_s, most_of_owner, put_off_s = unpack(ARGV, 1, 4)
most, most_of_owner = tonumber(most), tonumber(most_of_owner)
local under_way = {}
for i = 5, #ARGV, 2 do
  under_way[ARGV[i]] = tonumber(ARGV[i + 1])
end
local MOST_LOOKED_AT = 1000

local function due_in(job_id, seconds)
  redis.call('ZADD', keys.webhooks, string.format('%.6f', now() + seconds), job_id)
end

local claimed = {}
local due = redis.call('ZRANGEBYSCORE', keys.webhooks, '-inf', now(), 'LIMIT', 0, MOST_LOOKED_AT)
for _, job_id in ipairs(due) do
  local job = keys.job .. job_id
  local owner = redis.call('HGET', job, 'owner')
  if not owner then
    redis.call('ZREM', keys.webhooks, job_id)
    claimed[#claimed + 1] = {job_id, 0, {}}
  elseif not understood(job_id) or (under_way[owner] or 0) >= most_of_owner then
    due_in(job_id, put_off_s)
  else
    local attempt = redis.call('HINCRBY', job, 'webhook_attempts', 1)
    due_in(job_id, lease_s)
    under_way[owner] = (under_way[owner] or 0) + 1
    claimed[#claimed + 1] = {job_id, attempt, redis.call('HGETALL', job)}
  end
  if #claimed == most then
    break
  end
end
return claimed
