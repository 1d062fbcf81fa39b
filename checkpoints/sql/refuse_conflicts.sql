-- Only before the approval: afterwards the first of them may have been sent, and the later ones alone are refused.
-- Rows that contradict each other are all refused: nobody here can tell which of them is meant.
insert into refusals (run_id, line, column_name, label, reason, row)
select i.run_id, i.line, null, i.label, 'contradicts another row of the same key with another amount', i.row
from items i
where i.run_id = :run_id
  and i.key in (select conflict from refusals where run_id = :run_id and conflict is not null)
  and exists (select 1 from runs where run_id = :run_id and approved_at is null)
