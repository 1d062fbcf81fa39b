-- What the simulation reads of a journal's file (SQLite).

-- name: filled
-- The tables that a run fills, those first whose rows refer to others.
select name from sqlite_schema
where type = 'table' and name not like 'sqlite%' and name not in ('states', 'transitions') order by rowid desc

-- name: runs
-- Those that were not given up, the oldest first. `undone` is the run that one takes back, `open` counts rows.
select name, job, approved_at, ended_at, parameters ->> 'run' as undone, frozen_at, parameters ->> 'enter' as enter,
    (select count(*) from items where run_id = runs.run_id and state in (select state from states where open)) as open
from runs where discarded_at is null order by run_id

-- name: names
select name from runs where discarded_at is null order by run_id desc

-- name: stand
-- The rows of the input that stand in the billing, as the journal says, once for each time: accepted, or restored by the
-- undo of an undo that has found their effect. Of each the file that it came from.
select line, source from items i join runs using (run_id)
where undoes is null and taken_back = 0 and (state in ('accepted', 'applied') or exists (
    select 1 from items u where u.undoes = i.item_id and u.taken_back = 1 and u.state in ('accepted', 'applied')
))
order by item_id

-- name: differences
-- The rows of which a later file has entered the difference, once for each time.
select line from items where undoes is null and state in ('accepted', 'applied') and amount is not null and wanted is not null

-- name: called_entered
-- The rows that a run has left out, because an earlier one has entered them.
select name, line from items join runs using (run_id)
where undoes is null and state = 'skipped' and kind like '%entered by an earlier run%'

-- name: perhaps
-- The rows whose call, or that of whose undo, may have had its effect, though no answer says so, and no undo has looked.
with recursive chain (line, item_id) as (
    select line, item_id from items where undoes is null
    union all
    select c.line, i.item_id from chain c join items i on i.undoes = c.item_id
)
select chain.line from chain join items p using (item_id)
where p.unproven = 1 and p.taken_back = 0 and p.state in ('pending', 'rejected') and not exists (
    select 1 from items u where u.undoes = p.item_id and u.state in ('accepted', 'applied', 'skipped')
)

-- name: twice
-- The rows that stand more than once, for the same subscriber: a number may be another one's when it is entered again.
-- Differences go on top, and so does what a person enters again.
select line, count(*) as times from items join runs using (run_id)
where state in ('accepted', 'applied') and taken_back = 0 and undoes is null
    and (amount is null or wanted is null) and parameters ->> 'enter' is null
group by line, key having count(*) > 1

-- name: doubt
-- The rows of which the journal does not say whether they stand in the billing.
select name, line from items join runs using (run_id)
where line is not null and state in ('sending', 'unknown', 'unconfirmed', 'manual')

-- name: sent
-- The rows of all runs with their sums, and with their lanes but for undos, which have an order of their own.
with recursive chain (line, item_id) as (
    select line, item_id from items where undoes is null
    union all
    select c.line, i.item_id from chain c join items i on i.undoes = c.item_id
)
select name, chain.line, amount, case when undoes is null then lane end as lane
from chain join items using (item_id) join runs using (run_id) where chain.line is not null

-- name: states
select state, count(*) as rows from items join runs using (run_id) where name = :run group by state

-- name: death
-- When a process dies: the rows whose intent is written and whose outcome is not.
select name, frozen_at, parameters ->> 'run' as undone,
    (select count(*) from items where run_id = runs.run_id and state = 'sending') as sending,
    (select count(*) from items where run_id = runs.run_id and state in (select state from states where open)) as open
from runs

-- name: reached
-- The situations of `claims.Claim` that a file shows, by their names there.
with undos as (
    select undo.name, undo.parameters ->> 'run' as undone, run.parameters ->> 'run' as before, run.run_id
    from runs undo join runs run on run.name = undo.parameters ->> 'run'
    where undo.approved_at is not null and undo.discarded_at is null
)
select
    exists (select 1 from undos join items using (run_id) where state = 'pending') as stopped_undone,
    exists (select 1 from undos where before is not null) as undo_undone,
    exists (select 1 from items where state = 'manual') as person,
    exists (select 1 from refusals where reason like '%would set the balance over what earlier runs%') as set_over,
    exists (
        select 1 from undos join runs deletion on deletion.name = undone join runs later on later.run_id > deletion.run_id
        where deletion.job = 'delete-services' and later.job = 'connect-service'
    ) as restored_service
