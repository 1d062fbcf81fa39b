delete from items
where run_id = :run_id and item_id in (select value from json_each(:items)) and state = 'pending'
  and exists (select 1 from runs where run_id = items.run_id and approved_at is null)
