-- Paused twice is paused since the first time, by the first one.
update runs
set paused_by = case when paused_at is null then :who else paused_by end, paused_at = coalesce(paused_at, :now)
where run_id = :run_id
