update runs set left_out = :left_out where run_id = :run_id
