-- Precondition: the worker owns the entry, the job lives, and each of its two embeddings is
-- given or there.
-- Effect: the job holds its embeddings (one that was there stays as it is, so that all jobs see
-- the same bytes); a task per image at the first diffusion stage; the text task is settled.
-- Returns 1; 0 where fenced off or the job has ended; -1, without effect, where an embedding is
-- neither given nor there.
-- KEYS: job, text stream, next stream, the prompt's and the negative prompt's embedding.
-- ARGV: group, entry, worker, job id, number of images, then the two embeddings' values, ''
-- for one that is not given.
local job, stream, next_stream = unpack(KEYS, 1, 3)
local group, entry, worker, job_id, images = unpack(ARGV, 1, 5)
local embeddings = {[KEYS[4]] = ARGV[6], [KEYS[5]] = ARGV[7]}

if not owned(stream, group, entry, worker) then
  return 0
end
if not alive(job) then
  settle(stream, group, entry)
  return 0
end
for embedding, value in pairs(embeddings) do
  if value == '' and redis.call('HEXISTS', embedding, 'value') == 0 then
    return -1
  end
end

for embedding, value in pairs(embeddings) do
  if value ~= '' then
    redis.call('HSETNX', embedding, 'value', value)
  end
  redis.call('HSET', embedding, job, 1)
  redis.call('PERSIST', embedding)
end
redis.call('HSET', job, 'prompt_embedding', KEYS[4], 'negative_embedding', KEYS[5])
for image = 0, images - 1 do
  redis.call('XADD', next_stream, '*', 'job', job_id, 'image', image)
end
settle(stream, group, entry)
return 1
