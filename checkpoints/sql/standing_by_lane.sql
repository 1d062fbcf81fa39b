-- The accepted items of a run that stand, of up to so many lanes (accounts) behind one, by lane and number.
select *
from items
where run_id = :run_id and state in ('accepted', 'applied') and taken_back = 0 and lane in (
    select distinct lane from items
    where run_id = :run_id and state in ('accepted', 'applied') and taken_back = 0 and lane > :after
    order by lane limit :size
)
order by lane, number
