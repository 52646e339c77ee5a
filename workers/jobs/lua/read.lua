-- Precondition: none.
-- Effect: none.
-- Returns the fields of the job's record, none where it is gone, and of a queued one how many
-- tasks come before its next, else -1.
-- ARGV: job id.
return {redis.call('HGETALL', keys.job .. ARGV[1]), tasks_before(ARGV[1])}
