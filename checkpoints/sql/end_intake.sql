update runs set frozen_at = coalesce(frozen_at, :now) where run_id = :run_id
