-- Precondition: none.
-- Effect: the embeddings that are there, and no job needs, live for embedding_ttl_s from now.
-- Returns for each key 1 where it is there, 0 where it is not.
-- KEYS: embeddings. ARGV: embedding_ttl_s.
local there = {}
for i, embedding in ipairs(KEYS) do
  if redis.call('TTL', embedding) >= 0 then
    redis.call('EXPIRE', embedding, ARGV[1])
  end
  there[i] = redis.call('EXISTS', embedding)
end
return there
