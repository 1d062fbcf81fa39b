-- The items of some lanes whose call was accepted, in their order; those that stand are taken back by none.
select *
from items
where run_id = :run_id and state in ('accepted', 'applied') and lane in (select value from json_each(:lanes))
  and not (:standing and taken_back)
order by number
