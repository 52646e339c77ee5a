-- Precondition: the caller's own heartbeat is there.
-- Effect: up to `count` entries become the caller's: those of workers whose heartbeat is gone,
-- and its own that it does not hold (their delivery was lost on the way, at least a lease ago).
-- Workers whose heartbeat is gone and who have nothing pending are forgotten.
-- Returns {entry, deliveries, fields} for each.
-- KEYS: stream. ARGV: group, worker, prefix of heartbeat keys, count, lease_ms, then the
-- entries that the caller holds.
local stream = KEYS[1]
local group, worker, heartbeat, count, lease_ms = unpack(ARGV, 1, 5)
count = tonumber(count)
local held = {}
for i = 6, #ARGV do
  held[ARGV[i]] = true
end

local taken = {}
local function take(entry, deliveries)
  if #taken == count then
    return
  end
  local claimed = redis.call('XCLAIM', stream, group, worker, 0, entry)[1]
  if claimed then
    taken[#taken + 1] = {entry, deliveries + 1, claimed[2]}
  else  -- the entry is no longer in the stream
    redis.call('XACK', stream, group, entry)
  end
end

local function take_lost()
  local most = count + #ARGV - 5
  local rows = redis.call('XPENDING', stream, group, 'IDLE', lease_ms, '-', '+', most, worker)
  for _, row in ipairs(rows) do
    if not held[row[1]] then
      take(row[1], row[4])
    end
  end
end

local function take_over(dead)
  for _, row in ipairs(redis.call('XPENDING', stream, group, '-', '+', count, dead)) do
    take(row[1], row[4])
  end
  if #redis.call('XPENDING', stream, group, '-', '+', 1, dead) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', stream, group, dead)
  end
end

-- The stream and the group appear with the first job and the first claim.
local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, group)
if consumers.err then
  return {}
end
for _, consumer in ipairs(consumers) do
  local name = consumer[2]
  if name == worker then
    take_lost()
  elseif redis.call('EXISTS', heartbeat .. name) == 0 then
    take_over(name)
  end
end
return taken
