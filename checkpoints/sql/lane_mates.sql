-- The items of some lanes whose call was accepted, in the order in which they went.
select json_group_array(json_array(
    item_id, number, key, label, lane, payload, amount, line, json(row), state, attempts, answer, message, changed_at
))
from (
    select *
    from items
    where run_id = :run_id and state in ('accepted', 'applied') and lane in (select value from json_each(:lanes))
    order by number
)
