select json_group_array(json_array(
    item_id, number, key, label, lane, payload, amount, line, json(row), state, attempts, answer, message, changed_at
))
from (
    select *
    from items
    where run_id = :run_id and number > :after and state in (select value from json_each(:states))
    order by number
    limit :size
)
