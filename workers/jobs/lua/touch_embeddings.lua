-- Precondition: none.
-- Effect: the embeddings that are there, and no job needs, live for embedding_ttl_s from now.
-- Returns for each key 1 where it is there, 0 where it is not.
-- ARGV: keys of embeddings.
local there = {}
for i, embedding in ipairs(ARGV) do
  if redis.call('TTL', embedding) >= 0 then
    redis.call('EXPIRE', embedding, settings.embedding_ttl_s)
  end
  there[i] = redis.call('EXISTS', embedding)
end
return there
