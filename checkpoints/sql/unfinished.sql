-- The runs that are not at their ends: rows are still to be frozen, sent, looked up, or decided on.
select name
from runs r
where discarded_at is null
  and (frozen_at is null or exists (
      select 1 from items i where i.run_id = r.run_id and i.state in ('pending', 'sending', 'unknown', 'manual')
  ))
order by run_id
