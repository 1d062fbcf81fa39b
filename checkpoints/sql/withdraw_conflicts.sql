delete from items
where run_id = :run_id
  and key in (select conflict from refusals where run_id = :run_id and conflict is not null)
  and exists (select 1 from runs where run_id = :run_id and approved_at is null)
