-- The row that carries others of its account: its call and its amount are those of all of them.
update items
set payload = :payload, row_amount = amount, amount = :amount, changed_at = :now
where run_id = :run_id and item_id = :carrier and state = 'pending'
  and exists (select 1 from runs where run_id = items.run_id and approved_at is null)
