update runs set paused_at = null, paused_by = null where run_id = :run_id
