update items
set state = c.state, answer = coalesce(c.answer, items.answer), message = c.message, changed_at = :now
from (
    select json_extract(value, '$[0]') as item_id, json_extract(value, '$[1]') as state,
           json_extract(value, '$[2]') as answer, json_extract(value, '$[3]') as message
    from json_each(:changes)
) c
-- The plus keeps SQLite from going through all items of the run to find these few.
where +items.run_id = :run_id and items.item_id = c.item_id
