-- The items of some lanes whose call was accepted, in the order in which they went.
select item_id, number, key, label, lane, payload, amount, line, row, state, attempts, answer, message, changed_at
from items
where run_id = :run_id and state in ('accepted', 'applied') and lane in (select value from json_each(:lanes))
order by number
