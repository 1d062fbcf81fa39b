-- The blocks that only PostgreSQL has, and those that do more here than those of the same names in queries.sql.

-- name: take_up
-- The billing has a new owner, and the run a new epoch. So have the runs of the billing that another machine sends and
-- has not ended: what works on them writes and renews nothing more. Who sends nothing, as while it reads rows, goes on.
with billing as (
    insert into billings as b (target, epoch, machine, host, process, purpose, taken_at)
    select target, 1, :machine, :host, :process, :purpose, :now from runs where run_id = :run_id
    on conflict (target) do update
    set epoch = b.epoch + 1, machine = excluded.machine, host = excluded.host, process = excluded.process,
        purpose = excluded.purpose, taken_at = excluded.taken_at
    returning target
)
update runs set epoch = runs.epoch + 1
from billing
where runs.target = billing.target and (
    runs.run_id = :run_id
    or exists (
        select 1 from runners r
        where r.run_id = runs.run_id and r.epoch = runs.epoch and r.ended_at is null and r.machine <> :machine
          and r.call_ms > 0
    )
)

-- name: new_owner
select host, process, began_at
from (
    select 1 as place, r.host, r.process, r.began_at
    from runs join runners r using (run_id, epoch) where run_id = :run_id
    union all
    select 2, b.host, b.process, b.taken_at from runs join billings b using (target) where run_id = :run_id
) found
order by place limit 1

-- name: taken_over
-- The row stays as it is until the transaction ends: nobody raises the epoch between this look and what it allows.
-- Materialized: the condition is not moved in, where it would leave no row to be locked.
with held as materialized (select epoch from runs where run_id = :run_id for share)
select epoch from held where epoch <> :epoch

-- name: exactly
-- Fails where a block finds or writes another number of rows than it is to: the server does not wait to be told so.
with found as (
@{0}
)
select 1 / (count(*) = :wanted)::integer as found from found

-- name: begin_copy
-- Old and new may wait for each other longer than a run ever does.
set idle_in_transaction_session_timeout = 0; set constraints all deferred

-- name: end_copy
-- Of a journal that is copied: nobody owns a billing, and nothing is carried over. Each taking up has raised the epoch
-- of a run, so the sum is no less than the billing's own epoch was.
insert into billings (target, epoch) select target, sum(epoch) from runs group by target;
select setval(pg_get_serial_sequence('runs', 'run_id'), (select max(run_id) from runs)),
       setval(pg_get_serial_sequence('items', 'item_id'), (select max(item_id) from items)),
       setval(pg_get_serial_sequence('refusals', 'refusal_id'), (select max(refusal_id) from refusals)),
       setval(pg_get_serial_sequence('decisions', 'decision_id'), (select max(decision_id) from decisions)),
       setval(pg_get_serial_sequence('commands', 'command_id'), (select max(command_id) from commands)),
       setval(pg_get_serial_sequence('verifications', 'verification_id'), (select max(verification_id) from verifications)),
       setval(pg_get_serial_sequence('reports', 'report_id'), (select max(report_id) from reports))

-- ---- What PostgreSQL alone is asked --------------------------------------------------------------------------------
-- An advisory lock is of this journal by the name of its schema, and of a run; 0 is for what concerns all runs.

-- name: exclude_others
select pg_advisory_xact_lock(hashtext(current_schema()), 0)

-- name: exclude_makers
-- While a journal is made, before its schema is there.
select pg_advisory_xact_lock(hashtext(:schema), 0)

-- name: lock_run
select pg_try_advisory_lock(hashtext(current_schema()), :run_id) as answer

-- name: keep_runs_idle
-- The locks of all runs, shared, until the connection ends; a run that somebody works on.
select run_id
from (select run_id, pg_try_advisory_lock_shared(hashtext(current_schema()), run_id::integer) as is_idle from runs) held
where not is_idle

-- name: unlock_run
select pg_advisory_unlock(hashtext(current_schema()), :run_id) as answer

-- name: locked_runs
-- The lock of a process that is frozen counts for nothing once its lease has lapsed.
select h.run_id
from holders h
left join last_runners r using (run_id)
where not coalesce(r.is_lapsed, false)

-- name: lapsed_holder
-- The session that has the lock of a run whose lease has run out. The server's clock decides only who is waited for; who
-- takes over waits on a clock of its own. Who copies the journal shares the locks of all runs, and has no lease.
select pid as answer
from holders join last_runners using (run_id) join pg_locks using (pid)
where run_id = :run_id and is_lapsed and locktype = 'advisory' and mode = 'ExclusiveLock'
limit 1

-- name: end_session
select pg_terminate_backend(:session, 5000) as answer

-- name: renew_lease
-- Who has taken over waits a lease from then on, so this may be written beside it. The pace is left out while somebody
-- has the billing's row: who takes over and is frozen in the middle must not hold this one up.
with renewed as (
    update runners r set renewed_at = clock_timestamp()
    from runs
    where runs.run_id = r.run_id and runs.epoch = r.epoch
      and r.run_id = :run_id and r.epoch = :epoch and r.ended_at is null
    returning runs.target
), free as (
    select b.target from billings b join renewed using (target) where :pace::text is not null
    for update of b skip locked
), carried as (
    update billings b
    set carried = json_build_object('at', extract(epoch from clock_timestamp()), 'pace', :pace::json)::text
    from free
    where b.target = free.target
)
select 1 as answer from renewed

-- name: carry
-- What the next owner goes on with, at the end of this one's work.
update billings b
set carried = json_build_object('at', extract(epoch from clock_timestamp()), 'pace', :pace::json)::text
from runs
join runners r on r.run_id = runs.run_id and r.epoch = runs.epoch
where runs.run_id = :run_id and runs.epoch = :epoch and r.ended_at is null and b.target = runs.target

-- name: carried
-- What the last owner of a billing has left, this moment by the server's clock, and how long ago the last lease ran out
-- of those that were not ended in order.
select b.carried, extract(epoch from clock_timestamp())::float8 as now,
       (select extract(epoch from clock_timestamp() - max(r.renewed_at + r.lease_ms * interval '1 millisecond'))::float8
        from runs join runners r using (run_id)
        where runs.target = b.target and r.ended_at is null) as quiet
from runs own
join billings b on b.target = own.target
where own.run_id = :run_id

-- name: lock_billing
-- Who takes a billing up waits here for whoever does it, and then sees what that one has written.
insert into billings (target) select target from runs where run_id = :run_id
on conflict (target) do update set target = excluded.target

-- name: other_machine
-- Who sends for another run of the billing, from another machine.
select runs.name as run, r.host, r.process, r.began_at
from runs own
join runs on runs.target = own.target and runs.run_id <> own.run_id
join last_runners r on r.run_id = runs.run_id
join holders h on h.run_id = runs.run_id
where own.run_id = :run_id and r.machine <> :machine and r.ended_at is null and not r.is_lapsed and r.call_ms > 0
limit 1

-- name: earlier_leases
-- The owners of a billing that were not ended in order, and may still send or have sent.
select r.machine, r.process, r.run_id = own.run_id as is_own, r.lease_ms, r.call_ms
from runs own
join runs on runs.target = own.target
join runners r on r.run_id = runs.run_id
where own.run_id = :run_id and r.ended_at is null
  and ((r.lease_ms > 0 and (r.call_ms > 0 or r.run_id = own.run_id)) or (r.call_ms > 0 and r.run_id = own.run_id))

-- name: knows_all_calls
-- Whether all who have taken the run up have done so in this very journal: none of its calls was forgotten since.
select not exists (select 1 from runners where run_id = :run_id and server <> this_journal()) as knows

-- name: note_free
update runners r set lease_ms = 0
from runs own
join runs on runs.target = own.target
where own.run_id = :run_id and own.epoch = :epoch
  and r.run_id = runs.run_id and r.epoch < runs.epoch and r.ended_at is null
  and (r.run_id = own.run_id or r.machine <> :machine)

-- name: note_calls_ended
update runners r set call_ms = 0
from runs
where runs.run_id = :run_id and runs.epoch = :epoch and r.run_id = runs.run_id and r.epoch < runs.epoch
  and r.ended_at is null

-- name: announce
select pg_notify(:channel, '')

-- name: has_journal
select to_regclass('journal') is not null as answer

-- name: format_of_journal
select format as answer from journal

-- name: note_format
insert into journal (format) values (:format)

-- name: change_format
-- From now on a runner notes the journal: what was there before may have been copied.
update journal set format = :format; alter table runners alter column server set default this_journal()

-- name: size
select coalesce(sum(pg_total_relation_size(oid)), 0)::bigint as bytes
from pg_class
where relkind = 'r' and relnamespace = current_schema()::regnamespace

-- name: facts_of_server
select current_setting('server_version') as version, extract(epoch from clock_timestamp())::float8 as now,
       case when to_regnamespace(:schema) is null then has_database_privilege(current_database(), 'CREATE')
            else has_schema_privilege(:schema, 'CREATE') end as may_make,
       current_setting('log_statement') in ('mod', 'all')
       or current_setting('log_min_duration_statement') <> '-1' as logs_statements

-- name: analyze_items
-- Of a new list the server knows a minute later, by itself, that it has more than a few rows: until then it reads and sorts
-- all of it for each page. Whoever looks at the table meanwhile is not waited for.
analyze (skip_locked) items

-- name: rewrite_tables
-- Not within a transaction.
vacuum full items, refusals, decisions, commands, requests, live, samples, runs, verifications, secrets

-- name: only_look
set default_transaction_read_only to on

-- ---- The secrets of rows, encrypted (checkpoints/journal.py) ----------------------------------------------------

-- name: keep_secrets
insert into secrets (token, batch, key_id, sealed)
select token, batch, key_id, sealed
from json_to_recordset(:rows) as one (token text, batch text, key_id text, sealed text)
on conflict (token) do update set key_id = excluded.key_id, sealed = excluded.sealed

-- name: note_secret_key
insert into secret_keys (key_id) values (:key_id) on conflict (key_id) do nothing

-- name: secrets_by_token
select token, batch, key_id, sealed from secrets where token @words(:tokens)

-- name: page_of_secrets
select token, batch, key_id, sealed
from secrets
where token > :after and batch @words(:batches)
order by token
limit :size

-- name: keys_of_secrets
select key_id, count(*) as kept from secrets where :batch in ('', batch) group by key_id order by key_id

-- name: newest_secret_key
select key_id as answer from secret_keys order by used_at desc, key_id limit 1

-- name: forget_secrets
-- As in jobs/access/vault.sql: an old batch that no run needs belongs to a process killed before it entered its run.
delete from secrets
where batch = :batch
   or (sealed_at < clock_timestamp() - :unclaimed * interval '1 second'
       and not batch @words(:needed))

-- ---- The queue of runs that are handed in (cli/session/queue.py) -----------------------------------------------------

-- name: has_queue
select to_regclass('procrastinate_jobs') is not null as answer

-- name: queued_runs
-- One that is given out and was handed in again meanwhile is found last.
select args->>'run' as run, args->>'target' as target, status = 'doing' as given_out, priority, attempts,
       scheduled_at as not_before, (
           select min(at) from procrastinate_events where job_id = procrastinate_jobs.id and type = 'deferred'
       ) as since
from procrastinate_jobs
where task_name = :task and status in ('todo', 'doing')
order by status = 'doing', id

-- name: names_of_workers
-- Advisory locks by one number; those of runs have two.
select classid::bigint << 32 | objid::bigint as key
from pg_locks
where locktype = 'advisory' and objsubid = 1 and granted
  and database = (select oid from pg_database where datname = current_database())

-- name: take_out_of_queue
delete from procrastinate_jobs where queueing_lock = :run and status in ('todo', 'doing') returning id

-- name: facts_of_queue
select count(*) filter (where status = 'todo') as waiting,
       count(*) filter (where status = 'doing') as given_out,
       (select count(*) from procrastinate_workers
        where last_heartbeat > now() - make_interval(secs => :seconds)) as workers
from procrastinate_jobs where task_name = :task and status in ('todo', 'doing')

-- name: connections_used
select sum(numbackends)::int as connections,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as most_connections
from pg_stat_database
