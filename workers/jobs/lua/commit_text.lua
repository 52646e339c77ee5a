-- Precondition: the worker holds the text task, and each of its two embeddings is given or there.
-- Effect: the job holds its embeddings (one that was there stays as it is, so that all jobs see
-- the same bytes) and its warnings; a task per image is ready at the first diffusion stage; the
-- text is settled.
-- Returns 1; 0 where fenced off; -1, without effect, where an embedding is neither given nor there.
-- ARGV: task, token, next stage, then key and value of the prompt's and of the negative prompt's
-- embedding, '' for a value that is not given; the warnings as JSON, '' where there are none.
local task, token, next_stage = unpack(ARGV, 1, 3)
local embeddings = {[ARGV[4]] = ARGV[5], [ARGV[6]] = ARGV[7]}

if not owned('text', task, token) then
  return 0
end
for embedding, value in pairs(embeddings) do
  if value == '' and redis.call('HEXISTS', embedding, 'value') == 0 then
    return -1
  end
end

local job_id = parts_of(task)
local job = keys.job .. job_id
for embedding, value in pairs(embeddings) do
  if value ~= '' then
    redis.call('HSETNX', embedding, 'value', value)
  end
  redis.call('HSET', embedding, job, 1)
  redis.call('PERSIST', embedding)
end
redis.call('HSET', job, 'prompt_embedding', ARGV[4], 'negative_embedding', ARGV[6])
if ARGV[8] ~= '' then
  redis.call('HSET', job, 'warnings', ARGV[8])
  tell(job_id, 'state')
end
settle('text', task)
for image = 0, redis.call('HGET', job, 'images') - 1 do
  make_ready(next_stage, task_name(job_id, image))
end
return 1
