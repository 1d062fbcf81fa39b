select count(*) from refusals where run_id = :run_id and mended_at is null
