select state, count(*), decimal_sum(amount) from items where run_id = :run_id group by state
