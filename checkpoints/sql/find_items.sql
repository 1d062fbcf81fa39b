-- By business key, label or number, as people write them.
select json_group_array(json_array(
    item_id, number, key, label, lane, payload, amount, line, json(row), state, attempts, answer, message, changed_at
))
from (
    select *
    from items
    where run_id = :run_id and (key = :word or label = :word or cast(number as text) = :word)
    order by number
)
