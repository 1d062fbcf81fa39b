-- The blocks of queries.sql that PostgreSQL needs in another form, under the same names; the comments there hold here.
-- A list that is passed as one JSON text is read with the functions of postgres_schema.sql; `in (select value from
-- json_each(:list))` needs no other form here (postgres_connection.py).

-- name: runners_have_hosts
select 'host' as name

-- name: begin_runner
insert into runners (run_id, epoch, purpose, who, host, process, version, billing, began_at, machine, lease_ms, call_ms)
select run_id, epoch, :purpose, :who, :host, :process, :version, :billing, :now, :machine, :lease_ms, :call_ms
from runs where run_id = :run_id

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

-- name: take_up_to_prepare
-- Who sends nothing needs no billing: the run alone has a new epoch.
update runs set epoch = epoch + 1 where run_id = :run_id

-- name: new_owner
select host, process, began_at
from (
    select 1 as place, r.host, r.process, r.began_at
    from runs join runners r using (run_id, epoch) where run_id = :run_id
    union all
    select 2, b.host, b.process, b.taken_at from runs join billings b using (target) where run_id = :run_id
) found
order by place limit 1

-- name: runners
select purpose, who, process, version, billing, began_at, ended_at, found, absent, "left"
from runners
where run_id = :run_id
order by epoch

-- name: note_look_ups
update runners
set found = found + :found, absent = absent + :absent, "left" = "left" + :left
where run_id = :run_id and epoch = :epoch

-- name: forget_extra_subscribers
update verifications set result = (result::jsonb #- '{tally,first_extra}')::text
where run_id = :run_id and result::jsonb #> '{tally,first_extra}' is not null

-- name: run_history
select greatest(coalesce((select max(changed_at) from items where run_id = :run_id), ''),
                coalesce((select max(coalesce(ended_at, began_at)) from runners where run_id = :run_id), ''),
                coalesce((select max(verified_at) from verifications where run_id = :run_id), ''),
                coalesce((select max(decided_at) from decisions d join items i using (item_id) where i.run_id = :run_id), ''),
                r.created_at) as changed_at,
       (select count(*) from items
        where run_id = :run_id and taken_back = 1 and state in (select state from states where in_effect))
           as rows_taken_back,
       (select coalesce(sum(amount::numeric), 0)::text from items where run_id = :run_id and taken_back = 1)
           as sum_taken_back,
       r.assumptions
from runs r
where r.run_id = :run_id

-- name: out_of_date
select i.number
from items x
join items i on i.item_id = x.undoes
where x.run_id = :run_id and x.state = 'pending'
  and (i.taken_back = 1 or not (i.state in (select state from states where in_effect) or (i.unproven = 1 and i.state in ('pending', 'rejected'))))
union all
select i.number
from items i
join runs u on u.run_id = :run_id
where i.run_id = :undone and i.taken_back = 0
  and (i.state in (select state from states where in_effect) or (i.unproven = 1 and i.state in ('pending', 'rejected')))
  and u.frozen_at is not null and not exists (select 1 from items x where x.run_id = u.run_id and x.undoes = i.item_id)
  and i.number not in (select coalesce((row::json->>1)::bigint, 0) from refusals where run_id = :run_id)

-- name: taken_over
-- The row stays as it is until the transaction ends: nobody raises the epoch between this look and what it allows.
-- Materialized: the condition is not moved in, where it would leave no row to be locked.
with held as materialized (select epoch from runs where run_id = :run_id for share)
select epoch from held where epoch <> :epoch

-- name: freeze_items
insert into items (run_id, number, key, label, lane, payload, amount, line, row, state, message, kind,
                   undoes, wanted, frozen_at, changed_at)
select :run_id, (value->>0)::bigint, value->>1, value->>2, value->>3, value->>4, value->>5, (value->>6)::bigint,
       value->>7, value->>8, value->>9, value->>10, (value->>11)::bigint, value->>12, :now, :now
from elements(:rows) with ordinality as list (value, place)
order by place

-- name: freeze_refusals
insert into refusals (run_id, line, column_name, label, reason, row, conflict)
select :run_id, (value->>0)::bigint, value->>1, value->>2, value->>3, value->>4, value->>5
from elements(:rows) with ordinality as list (value, place)
order by place

-- name: earlier
select r.name as run, k.value->>0 as key, i.amount, i.wanted, i.state, i.line, i.changed_at,
       r.target, r.purged_at is not null as is_purged
from elements(:keys) as k (value)
cross join lateral (select * from effects where key = k.value->>1 offset 0) i
join runs r on r.run_id = i.run_id and r.job = :job
order by i.item_id

-- name: standing_in_lanes
select r.name as run, l.value->>0 as lane, i.key, i.payload, i.label, i.line, i.number, e.state,
       r.purged_at is not null as is_purged
from runs r
cross join elements(:lanes) as l (value)
cross join lateral (
    select * from items where run_id = r.run_id and lane = l.value->>1 and undoes is null offset 0
) i
cross join lateral (select state from effects where item_id = i.item_id offset 0) e
where r.job = :job and r.target = :target and r.name <> :own
order by i.item_id

-- name: known_marks
select r.name as run, i.number, m.value->>2 as lane, r.job, r.target, i.state, r.ended_at is not null as has_ended,
       i.lane as item_lane, case when i.undoes is null then i.amount end as amount, i.answer
from elements(:marks) as m (value)
join runs r on r.name = m.value->>0
join items i on i.run_id = r.run_id and i.number = (m.value->>1)::bigint

-- name: replace_items
update items
set state = 'replaced', kind = :kind, changed_at = :now,
    message = json_build_object(
        'is', 'said', 'template', :template::text, 'values', json_build_object('message', coalesce(message, '""')::json)
    )::text
where run_id = :run_id and state = 'rejected' and number in (select numbers(:numbers))

-- name: refuse_items
insert into refusals (run_id, line, column_name, label, reason, row)
select i.run_id, i.line, null, i.label, r.value->>1, i.row
from elements(:reasons) as r (value)
join items i on i.item_id = (r.value->>0)::bigint and +i.run_id = :run_id
where i.state = 'pending' and exists (select 1 from runs where run_id = i.run_id and approved_at is null)
order by i.number

-- name: shared_lanes
select count(distinct lane) as lanes, count(*) as items, coalesce(sum(amount::numeric), 0)::text as amount
from (
    select lane, amount, count(*) over (partition by lane) as in_lane
    from items
    where run_id = :run_id and state = 'pending'
) own
where in_lane > 1

-- name: shared_items
-- The statistics of the server know nothing of a new run: joined with itself, it would be read once for each of its rows.
select *
from items
where item_id = any (array(
    select item_id
    from (
        select item_id, dense_rank() over (order by lane) as place
        from (
            select item_id, lane, count(*) over (partition by lane) as in_lane
            from items
            where run_id = :run_id and state = 'pending' and lane > :after
        ) own
        where in_lane > 1
    ) shared
    where place <= :size
))
order by lane, number

-- name: first_in_lanes
select distinct on (lane) lane, number, key
from items
where run_id = :run_id and lane in (select words(:lanes))
  and state in (select state from states where in_effect or not settled)
order by lane, number

-- name: claim
-- As an array: of a list PostgreSQL assumes so many elements that it reads all items for the few of a group. The plus
-- keeps it from reading the index of all items of the run.
update items
set state = 'sending', attempts = attempts + 1, sent_at = :now, changed_at = :now
where +run_id = :run_id and item_id = any (array(select numbers(:ids)))
  and exists (select 1 from runs where run_id = :run_id and ended_at is null)

-- name: keep
update items
set payload = k.value->>1, changed_at = :now
from elements(:kept) as k (value)
where +items.run_id = :run_id and items.item_id = (k.value->>0)::bigint
  and items.item_id = any (array(select (value->>0)::bigint from elements(:kept) as k (value)))
  and items.state in (select state from states where to_send)

-- name: record
update items
set state = c.value->>1, answer = coalesce(c.value->>2, items.answer), message = c.value->>3,
    kind = c.value->>4, changed_at = :now,
    unproven = case
        when c.value->>1 = 'applied' or (items.state = 'sending' and c.value->>1 in ('pending', 'rejected'))
        then greatest(items.unproven, (c.value->>5)::integer) else (c.value->>5)::integer end,
    seen = case when items.state <> 'manual' or c.value->>1 <> 'accepted' then items.seen end
from elements(:changes) as c (value)
where +items.run_id = :run_id and items.item_id = (c.value->>0)::bigint
  and items.item_id = any (array(select (value->>0)::bigint from elements(:changes) as c (value)))

-- name: note_seen
update items
set seen = s.value->>1
from elements(:seen) as s (value)
where +items.run_id = :run_id and items.item_id = (s.value->>0)::bigint and items.state = 'manual'

-- name: doubt_shared_ids
-- Each answer is looked up by itself, which `offset` does not let the planner undo: by statistics of the list before any
-- row was sent it would join all items of the run with those of the group. An accepted item is one of its own claims.
update items
set state = 'unknown', changed_at = :now,
    kind = :kind,
    message = json_build_object(
        'is', 'said', 'template', :template::text, 'values', json_build_object('answer', answer)
    )::text
where state = 'accepted' and item_id = any (array(
    select item_id
    from (
        select one.item_id, bool_or(one.item_id = any (array(select numbers(:ids)))) over same as is_answered_anew,
               count(*) filter (where one.state in (select state from states where counts_money and not to_send))
                   over same as claims
        from (select distinct answer from items where item_id = any (array(select numbers(:ids)))) mine
        cross join lateral (
            select item_id, state, answer, payload::json->>'model' as model
            from items where run_id = :run_id and answer = mine.answer and answer ~ '^[0-9]' offset 0
        ) one
        window same as (partition by one.answer, one.model)
    ) shared
    where is_answered_anew and claims > 1
))
returning item_id

-- name: as_items
select coalesce(json_agg(json_build_array(
    item_id, number, key, label, lane, payload, amount, line, row::json, state, attempts, answer,
    message::json, changed_at, coalesce(seen, '[]')::json, unproven <> 0
)), '[]')::text as items
from found

-- name: items_by_key
select *
from items
where item_id = any (array(
    select (
        select item_id from items one
        where one.key = k.value and +one.run_id = :run_id
          and not (one.state = 'skipped' and one.kind is not distinct from :duplicate)
        order by one.state = 'replaced', one.number desc
        limit 1
    )
    from words(:keys) as k (value)
))
order by number

-- name: totals_of_runs
select i.run_id, i.state, count(*) as items, coalesce(sum(i.amount::numeric), 0)::text as amount,
       count(*) filter (where i.sent_at > :since) as recent,
       sum(i.taken_back) as taken_back, sum(i.unproven * (1 - i.taken_back)) as unproven,
       (select r.ended_at is not null from runs r where r.run_id = i.run_id) as has_ended,
       count(c.row_amount) as merged,
       coalesce(sum(i.row_amount::numeric) filter (where c.row_amount is not null), 0)::text as merged_amount,
       count(i.undoes) as undoing,
       coalesce(sum(coalesce((
           with recursive behind (undoes, amount, sign) as (
               select o.undoes, o.amount, -1 from items o where o.item_id = i.undoes
               union all
               select o.undoes, o.amount, -b.sign from behind b join items o on o.item_id = b.undoes
           )
           select b.sign * b.amount::numeric from behind b where b.undoes is null
       ), i.amount::numeric)) filter (where i.undoes is not null), 0)::text as reversed
from items i
left join items c on c.item_id = i.carried_by
where i.run_id in (select numbers(:ids))
group by i.run_id, i.state

-- name: amounts_of_rows
select i.number, c.number as merged_into, case when i.undoes is null then i.amount end as with_merged,
       case when i.undoes is null then coalesce(i.row_amount, i.amount) else coalesce((
           with recursive behind (undoes, amount, sign) as (
               select o.undoes, o.amount, -1 from items o where o.item_id = i.undoes
               union all
               select o.undoes, o.amount, -b.sign from behind b join items o on o.item_id = b.undoes
           )
           select (b.sign * b.amount::numeric)::text from behind b where b.undoes is null
       ), i.amount) end as amount
from items i
left join items c on c.item_id = i.carried_by and c.row_amount is not null
where i.run_id = :run_id and i.number = any (array(select numbers(:numbers)))

-- name: absolute_sum
select coalesce(sum(abs(amount::numeric)), 0)::text as amount
from items
where run_id = :run_id and state in (select words(:states))

-- name: reasons
select kind, items, amount, line, label, example
from (
    select kind, count(*) as items,
           coalesce(sum(amount::numeric), 0)::text as amount, min(number) as first,
           (array_agg(line order by number))[1] as line, (array_agg(label order by number))[1] as label,
           (array_agg(message order by number))[1] as example
    from items
    where run_id = :run_id and state = :state
      and (message is not null or state not in (select state from states where in_effect))
    group by kind
) grouped
order by items desc, first
limit :size

-- name: step_counts
select coalesce(payload::json->>'step', '') as step, state,
       payload::json->'steps'->0->>0 <> 'objects.create' and payload::json->'was' is not null as changes,
       case when state = 'skipped' then coalesce(kind, '') else '' end as kind,
       count(*) as items, coalesce(sum(amount::numeric), 0)::text as amount, sum(taken_back)::int as taken_back
from items
where run_id = :run_id and state <> 'replaced'
group by 1, 2, 3, 4

-- name: cells_of_lanes
select distinct on (lane) lane, row
from items
where run_id = :run_id and lane in (select words(:lanes)) and row not in ('', '[]')
order by lane, number

-- name: lane_counts
select count(*) as lanes, count(*) filter (where is_open) as open,
       count(*) filter (where is_rejected and not is_open) as rejected,
       count(*) filter (where is_left and not is_rejected and not is_open) as left_alone,
       count(*) filter (where is_sent) as sent,
       (select count(distinct line) from items where run_id = :run_id and state <> 'skipped') as lines
from (
    select bool_or(state in (select state from states where not settled)) as is_open,
           bool_or(state = 'rejected') as is_rejected,
           bool_or(state = 'skipped' and :kind <> '' and kind = :kind) as is_left,
           bool_or(state <> 'skipped') as is_sent
    from items
    where run_id = :run_id and state <> 'replaced' and starts_with(lane, :prefix)
    group by lane
) grouped

-- name: found_changed
select *
from items
where run_id = :run_id and number > :after and state in (select state from states where in_effect)
  and payload::json->'planned' is not null and payload::json->'after' is null
order by number
limit :size

-- name: made_by_others
select (f.value->>0)::bigint as item_id, r.name as run
from elements(:found) as f (value)
cross join lateral (select * from items where item_id = (f.value->>0)::bigint offset 0) own
join runs r on r.run_id <> own.run_id and r.target = :target
cross join lateral (
    select * from items where run_id = r.run_id and answer = f.value->>1 and answer ~ '^[0-9]' offset 0
) i
where i.state in (select state from states where in_effect) and i.unproven = 0 and i.taken_back = 0
  and i.payload::json->>'model' = own.payload::json->>'model'
  and i.payload::json#>>'{steps,0,0}' = 'objects.create' and own.payload::json#>>'{steps,0,0}' = 'objects.create'

-- name: taken_back
select r.name, count(*) as items
from items i
join items u on u.undoes = i.item_id
join runs r on r.run_id = u.run_id
where i.run_id = :run_id and i.taken_back = 1
  and u.taken_back = 0 and u.state in (select state from states where in_effect)
group by u.run_id, r.name
order by u.run_id

-- name: restored
with recursive chain (asked, item_id, undoes) as (
    select item_id, item_id, undoes from items where item_id in (select numbers(:ids))
    union all
    select c.asked, i.item_id, i.undoes from chain c join items i on i.item_id = c.undoes
)
select c.asked as item_id, first.key, its.name as run, its.job, its.target, its.purged_at
from chain c
join items first on first.item_id = c.item_id
join runs its on its.run_id = first.run_id
where c.undoes is null and first.taken_back = 1

-- name: entered_anew
select (c.value->>0)::bigint as item_id, r.name as run
from elements(:restored) as c (value)
join effects e on e.key = c.value->>1 and e.item_id > (c.value->>0)::bigint
join runs r on r.run_id = e.run_id and r.job = c.value->>2 and r.target = c.value->>3
order by e.item_id

-- name: purge_items
update items
set key = p.value->>1, lane = p.value->>2, payload = p.value->>3, wanted = p.value->>4,
    label = '', row = '[]', message = null, kind = null, seen = null,
    line = case when :keep_totals then line end,
    answer = case when :keep_totals and amount is not null and answer ~ '^[0-9]{1,10}$'
                       and answer::bigint <= 2147483647 then answer end,
    amount = case when :keep_totals then amount end,
    row_amount = case when :keep_totals then row_amount end
from elements(:rows) as p (value)
where items.run_id = :run_id and items.item_id = (p.value->>0)::bigint

-- name: fill_states
insert into states (state, open, settled, in_effect, counts_money, to_send)
select value->>0, (value->>1)::integer::boolean, (value->>2)::integer::boolean, (value->>3)::integer::boolean,
       (value->>4)::integer::boolean, (value->>5)::integer::boolean
from elements(:rows) as list (value)

-- name: fill_transitions
insert into transitions (source, target)
select value->>0, value->>1 from elements(:rows) as list (value)

-- name: defer_references
set constraints all deferred

-- name: take_time
set idle_in_transaction_session_timeout = 0

-- name: move_counters
select setval(pg_get_serial_sequence('runs', 'run_id'), (select max(run_id) from runs)),
       setval(pg_get_serial_sequence('items', 'item_id'), (select max(item_id) from items)),
       setval(pg_get_serial_sequence('refusals', 'refusal_id'), (select max(refusal_id) from refusals)),
       setval(pg_get_serial_sequence('decisions', 'decision_id'), (select max(decision_id) from decisions)),
       setval(pg_get_serial_sequence('commands', 'command_id'), (select max(command_id) from commands)),
       setval(pg_get_serial_sequence('verifications', 'verification_id'), (select max(verification_id) from verifications)),
       setval(pg_get_serial_sequence('reports', 'report_id'), (select max(report_id) from reports))

-- name: fill_billings
-- Of a journal that is copied: nobody owns a billing, and nothing is carried over. Each taking up has raised the epoch
-- of a run, so the sum is no less than the billing's own epoch was.
insert into billings (target, epoch) select target, sum(epoch) from runs group by target

-- name: copy_runs
insert into runs overriding system value
select * from json_populate_recordset(null::runs, :rows)

-- name: copy_purging
insert into purging
select * from json_populate_recordset(null::purging, :rows)

-- name: copy_items
insert into items overriding system value
select * from json_populate_recordset(null::items, :rows)

-- name: copy_refusals
insert into refusals overriding system value
select * from json_populate_recordset(null::refusals, :rows)

-- name: copy_decisions
insert into decisions overriding system value
select * from json_populate_recordset(null::decisions, :rows)

-- name: copy_commands
insert into commands overriding system value
select * from json_populate_recordset(null::commands, :rows)

-- name: copy_runners
-- Of a journal in a file they have no leases.
insert into runners (run_id, epoch, purpose, who, host, process, version, billing, began_at, ended_at, found, absent,
                     "left", machine, renewed_at, lease_ms, call_ms, server)
select run_id, epoch, purpose, who, host, process, version, billing, began_at, ended_at, found, absent, "left",
       coalesce(machine, ''), coalesce(renewed_at, clock_timestamp()), coalesce(lease_ms, 0), coalesce(call_ms, 0), ''
from json_populate_recordset(null::runners, :rows)

-- name: copy_verifications
insert into verifications overriding system value
select * from json_populate_recordset(null::verifications, :rows)

-- name: copy_reports
insert into reports overriding system value
select * from json_populate_recordset(null::reports, :rows)

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

-- name: is_run_locked
-- The lock of a process that is frozen counts for nothing once its lease has lapsed.
select exists (select 1 from holders where run_id = :run_id)
   and not coalesce((select is_lapsed from last_runners where run_id = :run_id), false) as answer

-- name: locked_runs
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
update journal set format = :format

-- name: remember_journals
-- From now on: what was there before may have been copied.
alter table runners alter column server set default this_journal()

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

-- name: rewrite_tables
-- Not within a transaction.
vacuum full items, refusals, decisions, commands, requests, live, samples, runs, verifications, secrets

-- name: only_look
set default_transaction_read_only to on

-- ---- The secrets of rows, encrypted (checkpoints/kept_secrets.py) ----------------------------------------------------

-- name: keep_secrets
insert into secrets (token, batch, key_id, sealed)
select token, batch, key_id, sealed
from json_to_recordset(:rows) as one (token text, batch text, key_id text, sealed text)
on conflict (token) do update set key_id = excluded.key_id, sealed = excluded.sealed

-- name: note_secret_key
insert into secret_keys (key_id) values (:key_id) on conflict (key_id) do nothing

-- name: secrets_by_token
select token, batch, key_id, sealed from secrets where token in (select value from json_each(:tokens))

-- name: page_of_secrets
select token, batch, key_id, sealed
from secrets
where token > :after and batch in (select value from json_each(:batches))
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
       and batch not in (select value from json_each(:needed)))
