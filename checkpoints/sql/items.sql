select item_id, number, key, label, lane, payload, amount, line, row, state, attempts, answer, message, changed_at
from items
where run_id = :run_id and number > :after and state in (select value from json_each(:states))
order by number
limit :size
