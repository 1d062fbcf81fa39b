delete from items
where run_id = :run_id
  and exists (select 1 from runs where run_id = :run_id and discarded_at is not null)
