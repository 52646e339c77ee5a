-- Precondition: none.
-- Effect: the worker's card is shown for lease_ms from now, in place of any other of the worker;
-- cards whose time is up are forgotten.
-- ARGV: name, lease_ms, card.
local name, lease_ms, card = unpack(ARGV)
local now_ms = math.floor(now() * 1000)
redis.call('ZREMRANGEBYSCORE', keys.workers, '-inf', now_ms)
for _, shown in ipairs(redis.call('ZRANGE', keys.workers, 0, -1)) do
  if cjson.decode(shown).name == name then
    redis.call('ZREM', keys.workers, shown)
  end
end
redis.call('ZADD', keys.workers, now_ms + lease_ms, card)
redis.call('PEXPIRE', keys.workers, lease_ms)
