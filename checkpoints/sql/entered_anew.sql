-- Of these undoing items, those whose undo would restore what another item has entered anew since: the item that was
-- asked about, and the run that has the new entry. What is restored stands at the beginning of the chain; what stood
-- beside it before the undo, entered with --again, is no new entry.
with recursive chain (asked, item_id, undoes) as (
    select item_id, item_id, undoes from items where item_id in (select value from json_each(:ids))
    union all
    select c.asked, i.item_id, i.undoes from chain c join items i on i.item_id = c.undoes
)
select c.asked, r.name
from chain c
join items first on first.item_id = c.item_id
join runs its on its.run_id = first.run_id
join effects e on e.key = first.key and e.item_id > c.asked
join runs r on r.run_id = e.run_id and r.job = its.job and r.target = its.target
where c.undoes is null and first.taken_back = 1
order by e.item_id
