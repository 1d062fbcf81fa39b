-- Behind `with found as (…)`: the items that were found as one JSON text, their fields in the order of `records.Item`.
select json_group_array(json_array(
    item_id, number, key, label, lane, payload, amount, line, json(row), state, attempts, answer, message, changed_at
))
from found
