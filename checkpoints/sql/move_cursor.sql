update runs set cursor = :cursor where run_id = :run_id
