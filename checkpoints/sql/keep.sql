-- What an item keeps of what its call overwrites, as it is now. What has been sent keeps what it was sent with.
update items
set payload = k.payload, changed_at = :now
from (select json_extract(value, '$[0]') as item_id, json_extract(value, '$[1]') as payload from json_each(:kept)) k
-- The plus keeps SQLite from going through all items of the run to find these few.
where +items.run_id = :run_id and items.item_id = k.item_id and items.state in ('pending', 'sending')
