-- Accounts that more than one item reaches, with the items that reach them.
select count(distinct lane), count(*), coalesce(decimal_sum(amount), '0')
from items
where run_id = :run_id and state = 'pending' and lane in (
    select lane from items where run_id = :run_id and state = 'pending' group by lane having count(*) > 1
)
