-- Precondition: none.
-- Effect: the worker's card is shown for lease_ms from now, in place of any other of the worker;
-- cards whose time is up are forgotten.
-- KEYS: cards of the workers. ARGV: name, lease_ms, card.
local cards = KEYS[1]
local name, lease_ms, card = unpack(ARGV)
local now_ms = math.floor(now() * 1000)
redis.call('ZREMRANGEBYSCORE', cards, '-inf', now_ms)
for _, shown in ipairs(redis.call('ZRANGE', cards, 0, -1)) do
  if cjson.decode(shown).name == name then
    redis.call('ZREM', cards, shown)
  end
end
redis.call('ZADD', cards, now_ms + lease_ms, card)
redis.call('PEXPIRE', cards, lease_ms)
