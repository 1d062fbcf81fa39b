select coalesce(decimal_sum(ltrim(amount, '-')), '0')
from items
where run_id = :run_id and state in (select value from json_each(:states))
