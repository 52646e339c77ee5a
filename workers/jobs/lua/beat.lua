-- Precondition: none.
-- Effect: the worker is alive for lease_ms from now; one that is new, or whose time had run out or
-- nearly so, as it does while Redis is away, is alive since now.
-- ARGV: worker, lease_ms.
local worker, lease_ms = keys.worker .. ARGV[1], ARGV[2]
local left_ms = redis.call('PTTL', worker)
redis.call('PEXPIRE', worker, lease_ms)
if left_ms * 2 < tonumber(lease_ms) then
  redis.call('SET', worker, string.format('%.0f', now() * 1000), 'PX', lease_ms)
end
