update runs set approved_at = coalesce(approved_at, :now) where run_id = :run_id
