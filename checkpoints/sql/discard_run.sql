update runs set discarded_at = :now where run_id = :run_id and approved_at is null
