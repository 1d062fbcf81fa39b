-- The numbers of the rows that an item of a run carries.
select i.number
from items c
join items i on i.carried_by = c.item_id
where c.run_id = :run_id and c.number = :number
order by i.number
