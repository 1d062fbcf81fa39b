select left_out from runs where run_id = :run_id
