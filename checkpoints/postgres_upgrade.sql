-- Makes a journal of format 1 in PostgreSQL one of format 2, as postgres_schema.sql would make it anew.

alter table billings add column if not exists carried text not null default '{}';
alter table items add column if not exists unproven integer not null default 0;

create table if not exists secrets (
    token     text collate "C" primary key,
    batch     text not null,
    key_id    text not null,
    sealed    text not null,
    sealed_at timestamptz not null default clock_timestamp()
);

create index if not exists secrets_by_batch on secrets (batch);

create table if not exists secret_keys (
    key_id  text primary key,
    used_at timestamptz not null default clock_timestamp()
);

alter table items add column if not exists seen text;
alter table runs add column if not exists ended_at text;
alter table runs add column if not exists ended_by text;
alter table runs add column if not exists ended_why text;
alter table runs add column if not exists undone_by text;

-- The approval of an undo ends the run that it takes back.
update runs
set ended_at = u.approved_at, ended_by = '', undone_by = u.name
from (
    select i.run_id, max(x.run_id) as by_run
    from items x
    join runs r on r.run_id = x.run_id and r.approved_at is not null
    join items i on i.item_id = x.undoes
    group by i.run_id
) back
join runs u on u.run_id = back.by_run
where runs.run_id = back.run_id;
drop view effects;
