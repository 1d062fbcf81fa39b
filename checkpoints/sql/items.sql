select *
from items
where run_id = :run_id and number > :after and state in (select value from json_each(:states))
order by number
limit :size
