-- The last of them, the oldest first.
select who, command, answer, given_at
from (select * from commands where run_id = :run_id order by command_id desc limit :size)
order by command_id
