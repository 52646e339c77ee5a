-- What the transitions share. Put in front of each of them; no transition by itself.

-- Redis's clock, in unix seconds.
local function now()
  local time = redis.call('TIME')
  return string.format('%d.%06d', time[1], time[2])
end

-- The fence: true where the entry is still pending under this worker's name. An error means
-- that stream or group are gone, and with them the ownership.
local function owned(stream, group, entry, worker)
  local pending = redis.pcall('XPENDING', stream, group, entry, entry, 1, worker)
  return not pending.err and #pending == 1
end

-- True where the job exists and has not ended.
local function alive(job)
  local status = redis.call('HGET', job, 'status')
  return status == 'queued' or status == 'running'
end

-- Takes a task out of its stream for good.
local function settle(stream, group, entry)
  redis.call('XACK', stream, group, entry)
  redis.call('XDEL', stream, entry)
end

-- The one way into a terminal state: the record gets its TTL, the artifacts go, the embeddings
-- get theirs when no other job needs them, and those who wait for the job are woken.
-- ending: channel, job id, retention_s, embedding_ttl_s
local function end_job(job, artifacts, status, ending)
  local channel, job_id, retention_s, embedding_ttl_s = unpack(ending)
  redis.call('HSET', job, 'status', status, 'finished_at', now())
  redis.call('EXPIRE', job, retention_s)
  redis.call('DEL', artifacts)
  for _, embedding in ipairs(redis.call('HMGET', job, 'prompt_embedding', 'negative_embedding')) do
    if embedding and redis.call('HDEL', embedding, job) == 1
        and redis.call('HLEN', embedding) == 1 then
      redis.call('EXPIRE', embedding, embedding_ttl_s)
    end
  end
  redis.call('PUBLISH', channel, job_id)
end
