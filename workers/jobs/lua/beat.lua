-- Precondition: none.
-- Effect: the worker is alive for lease_ms from now; one that is new, or whose time had run out,
-- is alive since now.
-- ARGV: worker, lease_ms.
local worker, lease_ms = keys.worker .. ARGV[1], ARGV[2]
local now_ms = string.format('%.0f', now() * 1000)
if not redis.call('SET', worker, now_ms, 'PX', lease_ms, 'NX') then
  redis.call('PEXPIRE', worker, lease_ms)
end
