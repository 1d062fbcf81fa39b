-- Accounts that more than one item reaches.
select count(*) from (
    select lane from items where run_id = :run_id and state = 'pending' group by lane having count(*) > 1
)
