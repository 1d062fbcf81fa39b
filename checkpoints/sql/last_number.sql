select coalesce(max(number), 0) from items where run_id = :run_id
