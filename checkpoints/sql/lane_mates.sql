-- The items of some lanes whose call was accepted, in the order in which they went.
select *
from items
where run_id = :run_id and state in ('accepted', 'applied') and lane in (select value from json_each(:lanes))
order by number
