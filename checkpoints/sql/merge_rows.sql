-- Rows that another one of their account carries. Where their amounts are part of its, they count there and not here.
update items
set state = 'skipped', message = :message, carried_by = :carrier, row_amount = amount,
    amount = case when :summed then '0' else amount end, changed_at = :now
where run_id = :run_id and item_id in (select value from json_each(:items)) and state = 'pending'
  and exists (select 1 from runs where run_id = items.run_id and approved_at is null)
