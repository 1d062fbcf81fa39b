update runs set policy = :policy where run_id = :run_id
