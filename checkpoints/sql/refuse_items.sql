-- Items that nobody can tell how they are meant become refusals, before the run is approved.
insert into refusals (run_id, line, column_name, label, reason, row)
select run_id, line, null, label, :reason, row
from items
where run_id = :run_id and item_id in (select value from json_each(:items)) and state = 'pending'
  and exists (select 1 from runs where run_id = items.run_id and approved_at is null)
order by number
