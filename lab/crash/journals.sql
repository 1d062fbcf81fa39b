-- What the lab installs in journals, and asks of them: in SQLite that of a load, in PostgreSQL that of a fleet, with its
-- schema in their path. None of it is a statement of the program's own: the verdict must not rest on what it judges.

-- ---- of a load, in SQLite ----

-- name: watch
-- A trigger that records every step of every item, in the transaction of the step. The journal itself keeps no
-- history, so unknown rows and their outcome could not be counted later.
create table selftest_steps (
    step    integer primary key,
    item_id integer not null,
    source  text not null,
    target  text not null
) strict;

create trigger selftest_watch after update of state on items
begin
    insert into selftest_steps (item_id, source, target) values (new.item_id, old.state, new.state);
end;

-- name: run_name
select name from runs where discarded_at is null order by run_id desc limit 1

-- name: counts
-- What a run that has ended has not sent is never sent.
select state, count(*) from items i join runs r on r.run_id = i.run_id
where r.discarded_at is null and not (r.ended_at is not null and i.state = 'pending') group by state

-- name: steps
select source, target, count(*) from selftest_steps group by source, target

-- name: attempts
select i.key, i.attempts from items i join runs r on r.run_id = i.run_id where r.discarded_at is null

-- name: holder
select run_id, (select process from runners n where n.run_id = r.run_id order by epoch desc limit 1)
from runs r
where name = :run

-- name: not_sent
-- Rows that no process has tried to send, the last ones first.
select i.key from items i join runs r on r.run_id = i.run_id
where r.name = :run and i.state = 'pending' and i.attempts = 0 order by i.number desc limit :rows

-- name: states
select i.key, i.state from items i join runs r on r.run_id = i.run_id where r.name = :run

-- ---- of a fleet, in PostgreSQL ----

-- name: install
-- Who takes a run up, and each step of each row with the epoch of the session that has taken it. A session says the
-- epoch under which it works by taking the run up: what it writes later is held against it.
create table fleet_lab_take_ups (
    take_up  bigint generated always as identity primary key,
    run_id   bigint not null,
    epoch    bigint not null,
    host     text not null,
    process  bigint not null,
    taken_at timestamptz not null
);

create table fleet_lab_steps (
    step     bigint generated always as identity primary key,
    item_id  bigint not null,
    run_id   bigint not null,
    source   text not null,
    target   text not null,
    own      bigint,
    current  bigint not null
);

create function fleet_lab_take_up() returns trigger language plpgsql as $$
begin
    perform set_config('fleet_lab.run_' || new.run_id, new.epoch::text, false);
    insert into fleet_lab_take_ups (run_id, epoch, host, process, taken_at)
    values (new.run_id, new.epoch, new.host, new.process, clock_timestamp());
    return null;
end $$;

create trigger fleet_lab_take_up after insert on runners for each row execute function fleet_lab_take_up();

create function fleet_lab_step() returns trigger language plpgsql as $$
begin
    insert into fleet_lab_steps (item_id, run_id, source, target, own, current)
    select now_is.item_id, now_is.run_id, was.state, now_is.state,
           nullif(current_setting('fleet_lab.run_' || now_is.run_id, true), '')::bigint, runs.epoch
    from now_is
    join was on was.item_id = now_is.item_id
    join runs on runs.run_id = now_is.run_id
    where was.state <> now_is.state;
    return null;
end $$;

create trigger fleet_lab_step after update on items
    referencing old table as was new table as now_is for each statement execute function fleet_lab_step();

-- name: set_rate
update runs set policy = (policy::jsonb || jsonb_build_object('rate', %s::text))::text

-- name: take_ups
select run_id, epoch, host, process, extract(epoch from taken_at)::float8 as at from fleet_lab_take_ups order by take_up

-- name: offences
-- Rows that were written under an epoch that was not the run's any more, or under none at all; and rows that one epoch was
-- sending, and a later one has made anything but unknown.
select run_id, format('%s rows were written under epoch %s while it was %s', count(*), min(own), max(current)) as what
from fleet_lab_steps
where own is distinct from current
group by run_id
union all
select run_id, format('%s rows that an earlier process was sending were made %s without a look', count(*), min(target))
from (
    select run_id, source, target, own,
           lag(own) over (partition by item_id order by step) as claimed
    from fleet_lab_steps
) steps
where source = 'sending' and own is distinct from claimed and target <> 'unknown'
group by run_id

-- name: steps_of_runs
select run_id, source, target, count(*) from fleet_lab_steps group by run_id, source, target

-- name: runs
-- The runs with their rows, and the last process of each that has not ended its work in order.
select r.run_id, r.target, count(i.item_id) as rows,
       count(*) filter (where i.state in ('accepted', 'applied')) as entered_rows,
       (select case when n.ended_at is null then n.process end
        from runners n where n.run_id = r.run_id order by n.epoch desc limit 1) as process
from runs r
left join items i on i.run_id = r.run_id
group by r.run_id
order by r.run_id

-- name: backends
select pid from pg_stat_activity where application_name like 'carbon-migrate%' and pid <> pg_backend_pid() order by pid

-- name: terminate
select pg_terminate_backend(%s)
