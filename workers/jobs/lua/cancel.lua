-- Precondition: the job lives.
-- Effect: it is canceled; what is done of it stays.
-- Returns its standing; 0 where it had ended or is gone.
-- ARGV: job id.
if not alive(ARGV[1]) then
  return 0
end
end_job(ARGV[1], 'canceled')
return standing(ARGV[1])
