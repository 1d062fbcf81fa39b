-- Makes a journal of format 1 in PostgreSQL one of format 2, as postgres_schema.sql would make it anew.

alter table runners add column if not exists exit_code integer;
alter table runners add column if not exists ended_because text;
alter table billings add column if not exists carried text not null default '{}';

-- A view keeps the columns that its tables had.
drop view last_runners;
create view last_runners as
select distinct on (run_id) *,
       ended_at is null and renewed_at + lease_ms * interval '1 millisecond' < clock_timestamp() as is_lapsed
from runners
order by run_id, epoch desc;
