-- A person decides of what is manual, and of nothing else.
insert into decisions (item_id, decided_at, who, state, why)
select item_id, :now, :who, :state, :why from items where run_id = :run_id and item_id = :item_id and state = 'manual'
