-- The pending items of lanes (accounts) that more than one of them reaches, a page of lanes at a time.
select *
from items
where run_id = :run_id and state = 'pending' and lane in (
    select lane from items where run_id = :run_id and state = 'pending' and lane > :after
    group by lane having count(*) > 1 order by lane limit :size
)
order by lane, number
