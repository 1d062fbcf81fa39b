-- The statements of the journal, one a block: `-- name: <name>`, followed by a comment where the name is not enough.
-- Parameters are named, lists are passed as one JSON text. `@name(…)` is a macro: the words of each store stand in
-- checkpoints/queries.py, and `stands` and `undone` at the end of this file. A plus before a column keeps the planner from
-- its index: few items of a run are looked up by themselves.

-- ---- Runs ---------------------------------------------------------------------------------------------------------

-- name: create_run
insert into runs (name, job, parameters, target, source, source_digest, header, policy, created_at)
values (:name, :job, :parameters, :target, :source, :source_digest, :header, :policy, :now)

-- name: run_by_name
select * from runs where name = :name

-- name: runs
select * from runs order by run_id

-- name: approve_run
update runs set approved_at = coalesce(approved_at, :now) where run_id = :run_id

-- name: end_undone
-- The approval of an undo ends the run that it takes back.
update runs
set ended_at = u.approved_at, undone_by = u.name,
    ended_by = coalesce((select who from runners where run_id = u.run_id and epoch = u.epoch), '')
from runs u
where u.run_id = :run_id and u.approved_at is not null and runs.run_id in (
    select i.run_id from items x join items i on i.item_id = x.undoes where x.run_id = :run_id
)

-- name: end_run
update runs set ended_at = :now, ended_by = :who, ended_why = :why where run_id = :run_id and ended_at is null

-- name: out_of_date
-- An item of an undo whose own item does not stand any more, or one that stands, and that its complete list neither has
-- nor refuses: the cells of a refused row have the number of its item. What stands is as in `in_effect`.
select i.number
from items x
join items i on i.item_id = x.undoes
where x.run_id = :run_id and x.state = 'pending' and (i.taken_back = 1 or not @stands(i))
union all
select i.number
from items i
join runs u on u.run_id = :run_id
where i.run_id = :undone and i.taken_back = 0 and @stands(i)
  and u.frozen_at is not null and not exists (select 1 from items x where x.run_id = u.run_id and x.undoes = i.item_id)
  and i.number not in (select coalesce(cast(@json(row, [1]) as bigint), 0) from refusals where run_id = :run_id)

-- name: end_intake
update runs set frozen_at = coalesce(frozen_at, :now) where run_id = :run_id

-- name: discard_run
update runs set discarded_at = :now where run_id = :run_id and approved_at is null

-- name: delete_items
delete from items
where run_id = :run_id
  and exists (select 1 from runs where run_id = :run_id and discarded_at is not null)

-- name: pause_run
-- A second pause keeps the time and the person of the first.
update runs
set paused_by = case when paused_at is null then :who else paused_by end, paused_at = coalesce(paused_at, :now)
where run_id = :run_id

-- name: unpause_run
update runs set paused_at = null, paused_by = null where run_id = :run_id

-- name: keep_policy
update runs set policy = :policy where run_id = :run_id

-- name: note_command
insert into commands (run_id, given_at, who, command, answer)
values (:run_id, :now, :who, :command, :answer)

-- name: commands
-- The last commands, the oldest first.
@latest_commands(who <> '')

-- name: waits
-- The last beginnings and ends of waits that the run has chosen itself, in the same table: nobody has given them.
@latest_commands(who = '')

-- ---- The runner of a run ------------------------------------------------------------------------------------------

-- name: take_up
-- A runner raises the run's epoch, so that writes of an earlier runner are recognised by their older epoch.
update runs set epoch = epoch + 1 where run_id = :run_id

-- name: take_up_to_prepare
-- Where one machine has the journal, there is no other owner of the billing.
update runs set epoch = epoch + 1 where run_id = :run_id

-- name: begin_runner
insert into runners (run_id, epoch, purpose, who, host, process, version, billing, began_at
                     @postgres(, machine, lease_ms, call_ms))
select run_id, epoch, :purpose, :who, :host, :process, :version, :billing, :now
       @postgres(, :machine, :lease_ms, :call_ms)
from runs where run_id = :run_id

-- name: end_runner
update runners set ended_at = :now where run_id = :run_id and epoch = :epoch

-- name: runners
select purpose, who, process, version, billing, began_at, ended_at, found, absent, "left"
from runners
where run_id = :run_id
order by epoch

-- name: note_look_ups
update runners
set found = found + :found, absent = absent + :absent, "left" = "left" + :left
where run_id = :run_id and epoch = :epoch

-- name: note_assumptions
-- What a run rested on when it began to send is kept, whatever is learned later.
update runs set assumptions = :text where run_id = :run_id and assumptions is null

-- name: note_verification
insert into verifications (run_id, verified_at, who, result) values (:run_id, :now, :who, :result)

-- name: forget_extra_subscribers
-- The extra subscribers of an import, of whom a tally keeps names. They can be many: only the last tally has them.
update verifications
set result = @sqlite(json_remove(result, '$.tally.first_extra')) @postgres((result::jsonb #- '{tally,first_extra}')::text)
where run_id = :run_id and @json(result, tally.first_extra) is not null

-- name: last_verification
select verified_at, who, result from verifications where run_id = :run_id order by verification_id desc limit 1

-- name: run_history
select @sqlite(max) @postgres(greatest)(
           coalesce((select max(changed_at) from items where run_id = :run_id), ''),
           coalesce((select max(coalesce(ended_at, began_at)) from runners where run_id = :run_id), ''),
           coalesce((select max(verified_at) from verifications where run_id = :run_id), ''),
           coalesce((select max(decided_at) from decisions d join items i using (item_id) where i.run_id = :run_id), ''),
           r.created_at
       ) as changed_at,
       r.assumptions
from runs r
where r.run_id = :run_id

-- name: note_report
insert into reports (run_id, made_at, root) values (:run_id, :now, :root) on conflict do nothing

-- name: report_before
select r.name as run, p.made_at, p.root
from reports p
join runs r on r.run_id = p.run_id
where p.report_id < coalesce((select report_id from reports where run_id = :run_id and root = :root), 9223372036854775807)
order by p.report_id desc limit 1

-- name: taken_over
select epoch from runs where run_id = :run_id and epoch <> :epoch

-- name: new_owner
select host, process, began_at from runners where run_id = :run_id order by epoch desc limit 1

-- name: holder
-- The last runner of a run. Only the lock on the journal's file tells whether it still works on it.
select host, process, began_at from runners where run_id = :run_id order by epoch desc limit 1

-- name: runners_of_runs
-- The last runner of each run.
select r.run_id, r.host, r.process, r.began_at
from runners r
where not exists (select 1 from runners later where later.run_id = r.run_id and later.epoch > r.epoch)

-- name: at_work
-- Other runs of the billing that may send, whose last process has not noted its end: it works on them, or was killed.
select r.*
from runs own
join runs r on r.target = own.target and r.run_id <> own.run_id
join runners u on u.run_id = r.run_id and u.epoch = r.epoch
where own.run_id = :run_id and r.approved_at is not null and r.ended_at is null and u.ended_at is null

-- name: money_beside
-- The rows left of two runs that enter money on one account, by the numbers of the first one's.
select i.payload, o.payload as other
from items i
join items o on o.run_id = :other and o.lane = i.lane
where i.run_id = :run_id and i.number > :after and i.number <= :after + :size
  and i.amount is not null and i.state in (select state from states where open)
  and o.amount is not null and o.state in (select state from states where open)

-- name: has_queue
-- Where one machine has the journal, nobody hands a run in.
select 0 as answer

-- name: last_notes
-- The last note of a command in the history of each run that has one.
select run_id, who, command, answer, given_at
from commands
where command_id in (select max(command_id) from commands where command = :command group by run_id)

-- ---- Intake -------------------------------------------------------------------------------------------------------

-- name: freeze_items
insert into items (run_id, number, key, label, lane, payload, amount, line, row, state, message, kind,
                   undoes, wanted, frozen_at, changed_at)
select :run_id, number, key, label, lane, payload, amount, line, row, state, message, kind, undoes, wanted, :now, :now
from @in_order(:rows, one, number bigint, key text, label text, lane text, payload text, amount text, line bigint,
               row text, state text, message text, kind text, undoes bigint, wanted text)

-- name: freeze_refusals
insert into refusals (run_id, line, column_name, label, reason, row, conflict)
select :run_id, line, column_name, label, reason, row, conflict
from @in_order(:rows, one, line bigint, column_name text, label text, reason text, row text, conflict text)

-- name: last_number
select coalesce(max(number), 0) as number from items where run_id = :run_id

-- name: move_cursor
update runs set cursor = :cursor where run_id = :run_id

-- name: leave_out
update runs set left_out = :left_out where run_id = :run_id

-- name: earlier
-- Items of the same effect, by key, in all runs of a job, on any target: the twins of a new run's rows. :keys are
-- pairs of a key and how an item may have it: as it is, or as the digest of a purged run. The item is looked up for each
-- twin alone: PostgreSQL would read all items for a join.
select r.name as run, k.key, i.amount, i.wanted, i.state, i.line, i.changed_at, r.target,
       coalesce(c.sent_at, i.changed_at) as entered_at, r.purged_at is not null as is_purged,
       own.carried_by is not null and c.row_amount is null and own.amount is not null as is_replaced,
       case when own.carried_by is null then own.number end as number, own.row,
       own.taken_back = 1 as is_taken_back
from @rows(:keys, k, key text, stored text)
@look(effects, i, i.key = k.stored)
@look(items, own, own.item_id = i.item_id)
@look(items, c, c.item_id = coalesce(own.carried_by, own.item_id))
join runs r on r.run_id = i.run_id and r.job = :job
order by i.item_id

-- name: standing_in_lanes
-- The items in these lanes (accounts) whose effect stands, of other runs of a job for a target, in their order.
-- Runs come first, so that each lane is one look into the index of a run. :lanes are pairs of a lane and how an item may
-- have it, as in `earlier`. Beside them, or alone, the secret of purged rows.
with standing as (
    select r.name as run, l.lane, i.key, i.payload, i.label, i.line, i.number, e.state,
           r.purged_at is not null as is_purged, i.item_id
    from runs r
    cross join @rows(:lanes, l, lane text, stored text)
    @look(items, i, i.run_id = r.run_id and i.lane = l.stored and i.undoes is null)
    @look(effects, e, e.item_id = i.item_id)
    where r.job = :job and r.target = :target and r.name <> :own
)
select p.secret, s.*
from (select 1 as one) always
left join purging p on true
left join standing s on true
order by s.item_id

-- name: setters
-- The items with these keys, or of these lanes, of other runs for a target that are in these states, or skipped for a
-- reason of this kind: of all runs, or of those after a run, where the undo of an earlier run counts as well.
with found (item_id, key) as (
    select i.item_id, i.key
    from runs r
    cross join @rows(:lanes, l, lane text)
    @look(items, i, i.run_id = r.run_id and i.lane = l.lane)
    where r.run_id > :after and r.target = :target
      and coalesce((select o.run_id from items o where o.item_id = i.undoes), 0) <= :after
    union
    select i.item_id, k.key
    from @rows(:keys, k, key text)
    @look(items, i, i.key = k.key and i.run_id > :after)
    union
    select i.item_id, k.key
    from @rows(:keys, k, key text)
    @look(items, o, o.key = k.key and o.run_id <= :after)
    @look(items, i, i.undoes = o.item_id and i.run_id > :after)
)
select r.name as run, i.lane, f.key, i.payload, i.label, i.line, i.number, i.state
from found f
@look(items, i, i.item_id = f.item_id)
join runs r on r.run_id = i.run_id
where r.target = :target and r.name <> :own and i.taken_back = 0 and (i.state @words(:states) or i.kind = :kind)
  and not (i.state = 'pending' and r.ended_at is not null)
order by i.item_id

-- name: known_marks
-- The marks (run name, number, and lane and key of the row for which its entry was found) whose items are in this
-- journal, each with the `first` item of its chain of undos: what that has entered, `sign` takes back or restores. The
-- call of an item that takes another one back, or enters a difference, may enter another amount than its own. `stands` is
-- an entry, or what has restored it, that no undo has taken back.
with recursive chain (item_id, lane, row_key, first, undoes, sign) as (
    select i.item_id, m.lane, m.key, i.item_id, i.undoes, 1
    from @rows(:marks, m, run text, number bigint, lane text, key text)
    join runs r on r.name = m.run
    join items i on i.run_id = r.run_id and i.number = m.number
    union all
    select c.item_id, c.lane, c.row_key, i.item_id, i.undoes, -c.sign from chain c join items i on i.item_id = c.undoes
)
select r.name as run, i.number, c.lane, c.row_key, r.job, r.target, i.state,
       r.ended_at is not null as has_ended, i.lane as item_lane,
       c.sign > 0 and exists (select 1 from effects e where e.item_id = i.item_id) as stands,
       case when i.undoes is null and i.wanted is null then i.amount end as amount, i.answer,
       c.sign, first.key as first_key, first.taken_back, first.number as first_number, its.name as first_run,
       its.job as first_job
from chain c
join items i on i.item_id = c.item_id
join runs r on r.run_id = i.run_id
join items first on first.item_id = c.first
join runs its on its.run_id = first.run_id
where c.undoes is null

-- name: replace_items
update items
set state = 'replaced', kind = :kind, changed_at = :now,
    message = @said('message', @as_json(coalesce(message, '""')))
where run_id = :run_id and state = 'rejected' and number @numbers(:numbers)

-- name: mend_refusals
update refusals
set mended_at = :now
where run_id = :run_id and mended_at is null and refusal_id @numbers(:ids)

-- name: find_refusals
-- Refused rows of a run by id, or by line if no id is given; uncorrected rows first, then the oldest.
select refusal_id, mended_at is not null as is_mended
from refusals
where run_id = :run_id and (refusal_id = :refusal_id or (:refusal_id is null and line = :line))
order by mended_at is not null, refusal_id

-- name: refuse_conflicts
-- All rows that contradict each other are refused, as it is unknown which one is meant. Only before the approval:
-- afterwards the first one may have been sent, and only the later ones are refused.
insert into refusals (run_id, line, column_name, label, reason, row)
select i.run_id, i.line, null, i.label, :reason, i.row
from items i
where i.run_id = :run_id
  and i.key in (select conflict from refusals where run_id = :run_id and conflict is not null)
  and exists (select 1 from runs where run_id = :run_id and approved_at is null)

-- name: withdraw_conflicts
delete from items
where run_id = :run_id
  and key in (select conflict from refusals where run_id = :run_id and conflict is not null)
  and exists (select 1 from runs where run_id = :run_id and approved_at is null)

-- name: refuse_items
insert into refusals (run_id, line, column_name, label, reason, row)
select i.run_id, i.line, null, i.label, r.reason, i.row
from @rows(:reasons, r, item_id bigint, reason text)
join items i on i.item_id = r.item_id and +i.run_id = :run_id
where i.state = 'pending' and exists (select 1 from runs where run_id = i.run_id and approved_at is null)
order by i.number

-- name: withdraw_items
delete from items
where +run_id = :run_id and item_id @numbers(:items) and state = 'pending'
  and exists (select 1 from runs where run_id = items.run_id and approved_at is null)

-- ---- Rows that share a lane (account) -----------------------------------------------------------------------------

-- name: shared_lanes
select count(distinct lane) as lanes, count(*) as items, @sum(amount) as amount
from (
    select lane, amount, count(*) over (partition by lane) as in_lane
    from items
    where run_id = :run_id and state = 'pending'
) own
where in_lane > 1

-- name: shared_items
-- Those of a delta that are new on top of what is entered ask for a whole sum, and are alone in their lanes.
select *
from items
where run_id = :run_id and (state = 'pending' or kind = :as_wanted) and lane @in(
    select lane from items where run_id = :run_id and (state = 'pending' or kind = :as_wanted) and lane > :after
    group by lane having count(*) > 1 or max(case when wanted = amount then 1 end) = 1 order by lane limit :size
)
order by lane, number

-- name: pending_before
select lane, payload, amount
from items
where run_id = :run_id and state = 'pending' and number < :before and lane @words(:lanes)
order by lane, number

-- name: merge_carrier
-- The row that carries others of its account: its call and its amount cover all of them.
update items
set payload = :payload, row_amount = amount, amount = :amount, changed_at = :now
where +run_id = :run_id and item_id = :carrier and state = 'pending'
  and exists (select 1 from runs where run_id = items.run_id and approved_at is null)

-- name: merge_rows
-- Rows that are carried by another row of their account. Amounts that are part of the carrier's sum become 0 here.
update items
set state = 'skipped', message = :message, kind = :kind, carried_by = :carrier, row_amount = amount,
    amount = case when :summed then '0' else amount end, changed_at = :now
where +run_id = :run_id and item_id @numbers(:items) and state = 'pending'
  and exists (select 1 from runs where run_id = items.run_id and approved_at is null)

-- name: differences
-- Of the rows to be sent those that enter a difference, whose `wanted` is the whole sum, and those that are new.
select count(case when is_new = 0 then 1 end) as changed,
       @sum_where(amount, is_new = 0 and substr(amount, 1, 1) <> '-') as raised,
       @sum_where(amount, is_new = 0 and substr(amount, 1, 1) = '-') as lowered,
       count(case when is_new = 1 then 1 end) as new, @sum_where(amount, is_new = 1) as new_sum
from (
    select amount, case when wanted is null or wanted = amount then 1 else 0 end as is_new
    from items
    where run_id = :run_id and state = 'pending'
) pending

-- name: contradiction
-- A row with a difference, and one with the same key that asks for what is entered already.
select i.line as first, o.line as second, i.label
from items i
join items o on o.key = i.key and o.run_id = i.run_id
where i.run_id = :run_id and i.state = 'pending' and i.wanted is not null and i.amount is not null
  and o.state = 'skipped' and o.carried_by is null and coalesce(o.kind, '') <> :duplicate
limit 1

-- name: replaced_in_lanes
-- Rows in place of which another row of their account counts, with its own sum alone: what they have entered is nothing.
select count(*) as items
from items
where run_id = :run_id and carried_by is not null and amount <> '0'

-- name: followed_by
-- The runs that have entered differences to effects of this one, which stand or may stand, the newest last.
select r.name
@differences_since(i.run_id = :run_id)
group by r.run_id, r.name
order by r.run_id

-- name: differences_on
-- Of these items of one run those to whose rows such a run has entered a difference, with that run, the newest last.
select i.item_id, r.name as run
@differences_since(i.item_id @numbers(:ids))
order by d.item_id

-- name: carries
-- The numbers of the rows that an item of a run carries.
select i.number
from items c
join items i on i.carried_by = c.item_id
where c.run_id = :run_id and c.number = :number
order by i.number

-- name: first_in_lanes
select lane, number, key
from items
where run_id = :run_id and number @in(
    select min(number) from items
    where run_id = :run_id and lane @words(:lanes)
      and state in (select state from states where in_effect or not settled)
    group by lane
)

-- ---- Sending and outcomes -----------------------------------------------------------------------------------------

-- name: claim
-- None of a run that has ended.
update items
set state = 'sending', attempts = attempts + 1, sent_at = :now, changed_at = :now
where +run_id = :run_id and item_id @numbers(:ids)
  and exists (select 1 from runs where run_id = :run_id and ended_at is null)
@postgres(returning 1)

-- name: keep
update items
set payload = k.payload, changed_at = :now
from @rows(:kept, k, item_id bigint, payload text)
where +items.run_id = :run_id and items.item_id = k.item_id @few(items.item_id, :kept)
  and items.state in (select state from states where to_send)

-- name: record
update items
set state = c.state, answer = coalesce(c.answer, items.answer), message = c.message, kind = c.kind,
    -- What may have had its effect stays so until an answer says what it has, however often it is not sent.
    unproven = case when c.state = 'applied' or (items.state = 'sending' and c.state in ('pending', 'rejected'))
                    then items.unproven | c.unproven else c.unproven end,
    -- What was seen is this row's own where it is accepted, and another's where it is to be sent.
    seen = case when items.state <> 'manual' or c.state <> 'accepted' then items.seen end, changed_at = :now
from @rows(:changes, c, item_id bigint, state text, answer text, message text, kind text, unproven integer)
where +items.run_id = :run_id and items.item_id = c.item_id @few(items.item_id, :changes)
@postgres(returning 1)

-- name: doubt
update items
set state = 'unknown', message = :why, kind = :kind, changed_at = :now
where run_id = :run_id and state = 'sending'

-- name: doubt_answers
update items
set state = 'unknown', message = :why, kind = :kind, changed_at = :now
where +run_id = :run_id and state = 'accepted' and item_id @numbers(:ids)
returning item_id

-- name: doubt_shared_ids
-- Rows of a run whose answers are the id of the same new object: it is unknown which of them has created it. Objects of
-- two models may have one id. An accepted item is one of its own claims.
update items
set state = 'unknown', changed_at = :now, message = @said('answer', answer), kind = :kind
where state = 'accepted' and item_id @in(
    select item_id
    from (
        select one.item_id,
               max(case when one.item_id @numbers(:ids) then 1 else 0 end) over same as is_answered_anew,
               count(case when one.state in (select state from states where counts_money and not to_send) then 1 end)
                   over same as claims
        from (select distinct answer from items where item_id @numbers(:ids)) mine
        @look(items, one, one.run_id = :run_id and one.answer = mine.answer and @is_id(one.answer))
        window same as (partition by one.answer, @json(one.payload, model))
    ) shared
    where is_answered_anew = 1 and claims > 1
)
returning item_id

-- name: note_seen
update items
set seen = s.seen
from @rows(:seen, s, item_id bigint, seen text)
where +items.run_id = :run_id and items.item_id = s.item_id and items.state = 'manual'

-- name: decide
insert into decisions (item_id, decided_at, who, state, why)
select item_id, :now, :who, :state, :why from items where run_id = :run_id and item_id = :item_id and state = 'manual'

-- name: decisions
select i.number, i.label, d.state, d.who, d.why, d.decided_at
from decisions d
join items i on i.item_id = d.item_id
where i.run_id = :run_id
order by d.decision_id

-- ---- Reading ------------------------------------------------------------------------------------------------------

-- name: as_items
-- The items of a run that another block finds, as one JSON text, with fields in the order of `records.Item`.
with found as (
@{0}
)
select @all(@array(
    item_id, number, key, label, lane, payload, amount, line, @as_json(row), state, attempts, answer,
    @as_json(message), changed_at, @as_json(coalesce(seen, '[]')),
    @as_json(case unproven when 0 then 'false' else 'true' end),
    case when undoes is null then amount else coalesce(@undone(found), amount) end
)) as items, exists (select 1 from runs where run_id = :run_id and purged_at is not null) as is_purged
from found

-- name: items
select *
from items
where run_id = :run_id and number > :after and state @words(:states)
order by number
limit :size

-- name: items_by_id
select * from items where item_id @numbers(:ids) order by number

-- name: items_by_key
-- Of each of these keys the item of a run that counts, by number: no duplicate of another row of the input, and the last
-- one where a corrected row has taken the place of another. Without one, the last that was replaced.
select *
from items
where item_id @in(
    select (
        select item_id from items one
        where one.key = k.value and +one.run_id = :run_id
          and not (one.state = 'skipped' and coalesce(one.kind, '') = :duplicate)
        order by one.state = 'replaced', one.number desc
        limit 1
    )
    from @sqlite(json_each(:keys) k) @postgres(words(:keys) as k (value))
)
order by number

-- name: last_unsettled
select *
from items
where run_id = :run_id and number < :before and state in (select state from states where not settled)
order by number desc
limit 1

-- name: find_items
-- By business key, label or number, as people write them.
select *
from items
where run_id = :run_id and (key = :word or label = :word or cast(number as text) = :word)
order by number

-- name: totals_of_runs
-- The items of runs by state, the sums of their calls, and how many of those in effect the last runner has sent after :since.
-- Beside these the rows that another row of their account carries in its sum, with their own amounts; and what the items of
-- an undo take back:
-- the amount of the entry at the start of the chain of undos, with its sign turned once for each undo. Its call may carry
-- another amount, as that of the balance which it restores, and a skipped one has none. Where the entry was purged, the
-- amount of the call is all that is left. Unchanged rows of a delta ask for no difference. With each state what became no
-- items, and the totals that a purge has kept.
-- What was taken back an undo of that undo restores, unless it was a storno.
-- Steps that have gone along with a subscriber who was taken back have no undo of their own. What an undo has skipped for
-- another reason than :nothing_stands it has left alone. The last verification counts until an undo knows more.
select r.run_id, r.left_out, r.purged_totals, r.ended_at is not null as has_ended,
       v.verified_at, @json(v.result, different) as different, @json(v.result, twice) as twice, @json(v.result, elsewhere) as elsewhere,
       @json(v.result, different_sum) as different_sum,
       @json(v.result, expected) as expected, @json(v.result, found) as found,
       (select count(*) from refusals f where f.run_id = r.run_id and f.mended_at is null) as refused,
       i.state, count(i.item_id) as items,
       @sum_where(i.amount, i.state <> 'skipped' or @json(r.parameters, since-run) is null) as amount,
       count(case when substr(i.kind || ':', 1, length(:held_back)) = :held_back then 1 end) as held_back,
       @sum_where(i.amount, substr(i.kind || ':', 1, length(:held_back)) = :held_back) as sum_held_back,
       count(case when i.sent_at > :since and i.state in (select state from states where in_effect)
                  and i.sent_at >= (select max(began_at) from runners w where w.run_id = r.run_id) then 1 end) as recent,
       sum(i.taken_back) as taken_back,
       @sum_where(case when i.undoes is null then i.amount else coalesce(@undone(i), i.amount) end, i.taken_back = 1)
           as sum_taken_back,
       max(case when i.taken_back = 1 then (
               select max(n.name) from items u join runs n on n.run_id = u.run_id
               where u.undoes = i.item_id and u.taken_back = 0 and u.state in (select state from states where in_effect)
                 and coalesce(@json(n.parameters, way), '') <> 'storno'
           ) end) as restorable_by,
       count(case when r.job = 'import' and r.undone_by is not null and i.taken_back = 0
                       and i.state in (select state from states where in_effect) and exists (
                      select 1 from items s
                      where s.run_id = i.run_id and s.lane = i.lane and s.taken_back = 1
                        and @json(s.payload, step) = 'subscriber'
                  ) then 1 end) as gone_along,
       count(case when i.state = 'skipped' and i.undoes is not null and not coalesce(i.kind, '') @words(:nothing_stands)
                  then 1 end) as left_alone,
       count(case when i.state = 'skipped' and (i.kind = :left_out
                      or (i.kind = :different and @json(i.payload, step) = 'balance')) then 1 end) as entered_before,
       sum(i.unproven * (1 - i.taken_back)) as unproven,
       count(c.row_amount) as merged,
       @sum_where(i.row_amount, c.row_amount is not null) as merged_amount,
       count(i.undoes) as undoing,
       @sum_where(coalesce(@undone(i), i.amount), i.undoes is not null) as reversed
from runs r
left join items i on i.run_id = r.run_id
left join items c on c.item_id = i.carried_by
left join verifications v on v.verification_id = (select max(verification_id) from verifications where run_id = r.run_id)
    and (r.undone_by is null or v.verified_at > r.ended_at)
where r.run_id @numbers(:ids)
group by r.run_id, i.state, v.verification_id

-- name: amounts_of_rows
select i.number, c.number as merged_into, coalesce(case when i.undoes is not null then @undone(i) end, i.amount) as carries,
       case when i.undoes is null then coalesce(i.row_amount, i.amount) else coalesce(@undone(i), i.amount) end as amount
from items i
left join items c on c.item_id = i.carried_by and c.row_amount is not null
where i.run_id = :run_id and i.number @numbers(:numbers)

-- name: absolute_sum
select @sum(ltrim(amount, '-')) as amount
from items
where run_id = :run_id and state @words(:states)

-- name: sent_by_time
-- The items of a run by the moment at which they were sent last, in at most :most spans of whole seconds: all of them,
-- those in effect with their sum, as in `totals_of_runs`, those in one of the states :trouble, and all of their calls.
with span as (
    select @unix(min(sent_at)) as first, (@unix(max(sent_at)) - @unix(min(sent_at))) / :most + 1 as seconds
    from items where run_id = :run_id
)
select s.first + (@unix(i.sent_at) - s.first) / s.seconds * s.seconds as at, s.seconds, count(*) as sent,
       count(case when i.state in (select state from states where in_effect) then 1 end) as accepted,
       count(case when i.state @words(:trouble) then 1 end) as failed, sum(i.attempts) as calls,
       @sum_where(case when i.undoes is null then i.amount else coalesce(@undone(i), i.amount) end,
                  i.state in (select state from states where in_effect)) as amount
from items i
cross join span s
where i.run_id = :run_id and i.sent_at is not null
group by 1, 2
order by 1

-- name: reasons
-- The reasons of the items in one state, the most frequent first, each with its first item. Items in effect without a
-- message are left out. Amounts are as in `totals_of_runs`.
select coalesce(i.kind, '') as kind, g.items, g.amount, i.line, i.label, coalesce(i.message, '""') as example
from (
    select count(*) as items, @sum(case when undoes is null then amount else coalesce(@undone(items), amount) end) as amount,
           min(number) as first
    from items
    where run_id = :run_id and state = :state
      and (message is not null or state not in (select state from states where in_effect))
    group by kind
) g
join items i on i.run_id = :run_id and i.number = g.first
order by g.items desc, g.first
limit :size

-- name: step_counts
-- The items of a run whose rows have steps: by step, state and, of those that are skipped, by kind, as in `reasons`. A
-- step of an object that was there when the list was made has the values that it had then.
select coalesce(@json(payload, step), '') as step, state,
       coalesce(@json(payload, steps[0][0]) <> 'objects.create' and @json(payload, was) is not null, 1 = 0) as changes,
       case when state = 'skipped' then coalesce(kind, '') else '' end as kind,
       count(*) as items, @sum(amount) as amount, count(case taken_back when 1 then 1 end) as taken_back,
       @sum_where(amount, taken_back = 1) as sum_taken_back
from items
where run_id = :run_id and state <> 'replaced'
group by 1, 2, 3, 4

-- name: cells_of_lanes
-- The cells of the rows in these lanes, by lane, where one item of several has them.
select lane, row
from items
where run_id = :run_id and number @in(
    select min(number) from items where run_id = :run_id and lane @words(:lanes) and row not in ('', '[]') group by lane
)

-- name: lane_counts
select count(*) as "all", count(case is_open when 1 then 1 end) as open,
       count(case when is_rejected = 1 and is_open = 0 then 1 end) as rejected,
       count(case when is_left = 1 and is_rejected = 0 and is_open = 0 then 1 end) as left_alone,
       count(case is_sent when 1 then 1 end) as sent,
       count(case when is_unread = 1 and is_left = 0 and is_rejected = 0 and is_open = 0 then 1 end) as unread,
       (select count(distinct line) from items where run_id = :run_id and state <> 'skipped') as lines
from (
    select max(case when state in (select state from states where not settled) then 1 else 0 end) as is_open,
           max(case when state = 'rejected' then 1 else 0 end) as is_rejected,
           max(case when state = 'skipped' and :kind <> '' and kind = :kind then 1 else 0 end) as is_left,
           max(case when state <> 'skipped' then 1 else 0 end) as is_sent,
           max(case state when 'accepted' then 1 else 0 end) * (1 - max(taken_back)) as is_unread
    from items
    where run_id = :run_id and state <> 'replaced'
      and @sqlite(lane >= :prefix and lane < :prefix || char(0x10ffff)) @postgres(starts_with(lane, :prefix))
    group by lane
) grouped

-- name: rows_of
-- Each row of the input once, with what it asks for in all, where its call enters a part of that; a row of an undo under the
-- key of what it takes back, with that amount.
select @row_columns()
from items
where run_id = :run_id and number > :after and @is_a_row(:duplicate)
order by number
limit :size

-- name: rows_with
select @row_columns()
from items
where run_id = :run_id and key @words(:keys) and undoes is null and @is_a_row(:duplicate)
union all
select @row_columns()
from items
where item_id @in(
    select u.item_id from items o join items u on u.undoes = o.item_id where o.key @words(:keys) and u.run_id = :run_id
)

-- name: refusals
select refusal_id, line, column_name as "column", label, reason, row
from refusals
where run_id = :run_id and mended_at is null and refusal_id > :after and reason like :like
order by refusal_id
limit :size

-- name: refusal_kinds
-- The reasons of refused rows by their templates, the most frequent first, each with its first row.
select coalesce(r.column_name, '') as kind, g.items, '0' as amount, r.line, r.label, r.reason as example
from (
    select count(*) as items, min(refusal_id) as first
    from refusals
    where run_id = :run_id and mended_at is null
    group by coalesce(@json(reason, values.text0.template), @json(reason, template))
) g
join refusals r on r.refusal_id = g.first
order by g.items desc, g.first
limit :size

-- ---- Undo ---------------------------------------------------------------------------------------------------------

-- name: in_effect
-- The accepted items of a run whose effect stands: not taken back, or restored by an undo of the undo. With them those
-- that are to be sent again, or count as refused, and may have had their effect all the same.
select *
from items
where run_id = :run_id and number > :after and taken_back = 0 and @stands(items)
order by number
limit :size

-- name: in_effect_last_first
select *
from items
where run_id = :run_id and number < coalesce(:before, 9223372036854775807) and state in (select state from states where in_effect)
  and taken_back = 0
order by number desc
limit :size

-- name: note_gone
-- What an undo has skipped since nothing of it stands, for one of the reasons :gone, counts as taken back by it.
update items set taken_back = 1
where taken_back = 0 and item_id in (
    select undoes from items where run_id = :run_id and state = 'skipped' and undoes is not null and kind @words(:gone)
)

-- name: taken_back
select r.name, count(*) as items
from items i
join items u on u.undoes = i.item_id
join runs r on r.run_id = u.run_id
where i.run_id = :run_id and i.taken_back = 1 and u.taken_back = 0
  and (u.state in (select state from states where in_effect) or (u.state = 'skipped' and u.kind @words(:gone) and not exists (
      select 1 from items o
      where o.undoes = i.item_id and o.taken_back = 0 and o.state in (select state from states where in_effect)
  )))
group by u.run_id, r.name
order by u.run_id

-- name: lanes_gone
-- Of these lanes those whose subscriber was taken back: steps of it that have no undo of their own went with it.
select distinct lane from items
where run_id = :run_id and lane @words(:lanes) and taken_back = 1 and @json(payload, step) = 'subscriber'

-- name: taken_back_of
select item_id from items where item_id @numbers(:ids) and taken_back = 1

-- name: found_changed
-- The accepted items of a run whose call has found something else than the list, and not what another row had set.
select *
from items
where run_id = :run_id and number > :after and state in (select state from states where in_effect)
  and @json(payload, planned) is not null and @json(payload, after) is null
order by number
limit :size

-- name: unproven
select count(*) as items
from items
where run_id = :run_id and unproven = 1 and state in (select state from states where in_effect) and taken_back = 0

-- name: made_by_others
-- Of these items that create an object the ones whose object another run for the same billing has created: its answer is
-- the id of a new object of the same model. :found are pairs of an item and the id of the object that was found.
select f.item_id, r.name as run
from @rows(:found, f, item_id bigint, answer text)
@look(items, own, own.item_id = f.item_id)
join runs r on r.run_id <> own.run_id and r.target = :target
@look(items, i, i.run_id = r.run_id and i.answer = f.answer and @is_id(i.answer))
where i.state in (select state from states where in_effect) and i.unproven = 0 and i.taken_back = 0
  and @json(i.payload, model) = @json(own.payload, model)
  and @json(i.payload, steps[0][0]) = 'objects.create' and @json(own.payload, steps[0][0]) = 'objects.create'

-- name: lane_mates
select *
from items
where run_id = :run_id and @stands(items) and lane @words(:lanes)
order by +number

-- name: mates_in_shared_lanes
select *
from items
where run_id = :run_id and @stands(items) and lane @in(
    select lane from items
    where run_id = :run_id and @stands(items) and lane @words(:lanes)
    group by lane having count(*) > 1
)
order by +number

-- name: standing_by_lane
select *
from items
where run_id = :run_id and state in (select state from states where in_effect) and taken_back = 0 and lane in (
    select distinct lane from items
    where run_id = :run_id and state in (select state from states where in_effect) and taken_back = 0
      and lane > :after
    order by lane limit :size
)
order by lane, number

-- name: restored
-- The entries that an undo of these undoing items would restore, each at the start of its chain of undos; an item that
-- undoes nothing is its own.
with recursive chain (asked, item_id, undoes) as (
    select item_id, item_id, undoes from items where item_id @numbers(:ids)
    union all
    select c.asked, i.item_id, i.undoes from chain c join items i on i.item_id = c.undoes
)
select c.asked as item_id, first.key, its.name as run, its.job, its.target, its.purged_at
from chain c
join items first on first.item_id = c.item_id
join runs its on its.run_id = first.run_id
where c.undoes is null and (first.taken_back = 1 or first.item_id = c.asked)

-- name: restored_by
-- The items that have made the objects of these anew, by undoes of their undoes: the last of each stands.
with recursive chain (asked, item_id) as (
    select item_id, item_id from items where item_id @numbers(:ids)
    union all
    select c.asked, v.item_id
    from chain c
    @look(items, u, u.undoes = c.item_id and u.taken_back = 1)
    @look(items, v, v.undoes = u.item_id and v.taken_back = 0)
    where v.state in (select state from states where in_effect)
)
select c.asked, r.name as run, i.number, i.payload
from chain c
@look(items, i, i.item_id = c.item_id and i.item_id <> c.asked)
join runs r on r.run_id = i.run_id
where @json(i.payload, renews) is not null
order by i.item_id

-- name: half_undone
-- The undo, of those with these ids, that is still to take back or restore an entry of one of these keys.
with recursive behind (undo_id, item_id, state) as (
    select u.run_id, u.item_id, u.state
    from items first
    join runs its on its.run_id = first.run_id and its.job = :job and its.target = :target
    join items u on u.undoes = first.item_id
    where first.key @words(:keys)
    union all
    select u.run_id, u.item_id, u.state from behind b join items u on u.undoes = b.item_id
)
select undo_id from behind where undo_id @numbers(:undos) and state in (select state from states where open) limit 1

-- name: entered_anew
-- The items whose entry, or that which their own undo would restore, another item has entered again since: the item
-- and the run with the new entry. :restored has undoing item, key, job and target; an equal entry made with --again
-- before the undo is not a new entry.
select c.item_id, r.name as run
from @rows(:restored, c, item_id bigint, key text, job text, target text)
join effects e on e.key = c.key and e.item_id > c.item_id
join runs r on r.run_id = e.run_id and r.job = c.job and r.target = c.target
order by e.item_id

-- ---- Purging ------------------------------------------------------------------------------------------------------

-- name: purged
select name, purged_at from runs where run_id = :run_id and purged_at is not null

-- name: last_change
-- When a run or a row of it last took a step: its age for a purge. Who has only looked at it since does not count.
select coalesce(
    (select max(changed_at) from items where run_id = :run_id), discarded_at, approved_at, frozen_at, created_at
) as changed_at
from runs where run_id = :run_id

-- name: begin_purge
-- Only a finished run: given up, or sent with nothing left to do for anybody. The epoch keeps out who read it before.
update runs
set parameters = :parameters, source = '', header = '[]', cursor = null, epoch = epoch + 1,
    ended_why = case when ended_why is not null then '' end,
    purged_at = coalesce(purged_at, :now), purged_totals = coalesce(purged_totals, :totals)
where run_id = :run_id
  and (discarded_at is not null or ended_at is not null or (frozen_at is not null and approved_at is not null))
  and not exists (
      select 1 from items
      where run_id = :run_id and state in (select state from states where not settled)
        and not (state = 'pending' and runs.ended_at is not null)
  )

-- name: purging
select secret, is_cleaned from purging

-- name: begin_purging
insert into purging (secret) select :secret where not exists (select 1 from purging)

-- name: mark_cleaned
update purging set is_cleaned = :is_cleaned

-- name: contents
-- What of a run's rows has content that a purge removes.
select count(*) as items, count(answer) as answers, count(message) as messages
from items where run_id = :run_id

-- name: to_purge
-- What of a run's items a purge makes its digests from, a page at a time.
select item_id, key, lane, payload, wanted, coalesce(row_amount, amount) as amount
from items
where run_id = :run_id and item_id > :after
order by item_id
limit :size

-- name: purge_items
-- A row keeps its number, its state and its times; :rows have what else it keeps: the kind of its call, and key, lane and
-- values as digests. With :keep_totals it keeps its sums, and an answer that is the id of an operation.
update items
set key = p.key, lane = p.lane, payload = p.payload, wanted = p.wanted,
    label = '', row = '[]', message = null, kind = null, seen = null,
    line = case when :keep_totals then line end,
    answer = case when :keep_totals and amount is not null and length(answer) <= 10
                       and @sqlite(answer not glob '*[^0-9]*') @postgres(answer ~ '^[0-9]+$')
                       and cast(answer as bigint) <= 2147483647 then answer end,
    amount = case when :keep_totals then amount end,
    row_amount = case when :keep_totals then row_amount end
from @rows(:rows, p, item_id bigint, key text, lane text, payload text, wanted text)
where +items.run_id = :run_id and items.item_id = p.item_id

-- name: remove_items
-- Rows that entered nothing. A row that another one carries or takes back is needed by that one.
delete from items
where run_id = :run_id and carried_by is null and state not in (select state from states where in_effect)
  and not exists (select 1 from items other where other.undoes = items.item_id)
  and not exists (select 1 from items other where other.carried_by = items.item_id)

-- name: purge_refusals
update refusals
set column_name = null, label = '', reason = '""', row = '[]', conflict = null
where run_id = :run_id

-- name: purge_decisions
update decisions set why = '' where item_id in (select item_id from items where run_id = :run_id)

-- name: remove_decisions
delete from decisions where item_id in (select item_id from items where run_id = :run_id)

-- ---- The mailbox --------------------------------------------------------------------------------------------------
-- `seconds()` is the journal's clock: of this machine, or of the server.

-- name: new_request
insert into requests (run_id, epoch, who, request, expires_at)
values (:run_id, :epoch, :who, :request, seconds() + :within / 1000.0)
returning request_id

-- name: waiting_request
select 1 from requests where run_id = :run_id and taken_at is null and expires_at > seconds()

-- name: take_requests
-- Whoever has the run under its present epoch takes them, each once: also one for an earlier epoch, to refuse it.
update requests set taken_at = seconds()
where run_id = :run_id and taken_at is null and expires_at > seconds()
  and exists (select 1 from runs where run_id = :run_id and epoch = :epoch)
returning request_id, epoch, who, request

-- name: answer_request
update requests set answer = :answer where request_id = :request_id

-- name: request
select answer from requests where request_id = :request_id

-- name: withdraw_request
delete from requests where request_id = :request_id and taken_at is null

-- name: forget_request
delete from requests where request_id = :request_id

-- name: forget_requests
-- Those whose asker has not waited for the answer.
delete from requests where run_id = :run_id and expires_at < seconds() - 3600

-- name: tell
insert into live (run_id, epoch, at, status)
select run_id, epoch, seconds(), :status from runs where run_id = :run_id and epoch = :epoch
on conflict (run_id) do update set epoch = excluded.epoch, at = excluded.at, status = excluded.status

-- name: sample
insert into samples (run_id, slot, at, sample)
select run_id, :slot, seconds(), :sample from runs where run_id = :run_id and epoch = :epoch
on conflict (run_id, slot) do update set at = excluded.at, sample = excluded.sample

-- name: live
select status, seconds() - at as age from live where run_id = :run_id and epoch = :epoch

-- name: lives
select run_id, status, seconds() - at as age from live join runs using (run_id, epoch)

-- name: samples
select at, sample from samples
where run_id = :run_id and at > cast(:after as double precision) and at > seconds() - :seconds
order by at

-- name: fall_silent
delete from live where run_id = :run_id and epoch = :epoch

-- ---- Comparing two lists ------------------------------------------------------------------------------------------

-- name: list_differences
-- The differences between the list of a run and that of a run in the journal attached as `older`: rows with the same
-- key are compared in order, or only the first of each key. Gives both sides of each difference, null if a list lacks
-- the row, in input order. Grouped, not joined: in a full join SQLite compares each row with each. A row that the new run
-- refuses, by its label, has a state there alone.
with
    rows as (
        select 0 as is_new, key, line, label, number, row_number() over (partition by key order by number) as place,
               json_array(key, line, label, lane, amount, payload, wanted, state, json(message)) as row
        from older.items where run_id = :old
        union all
        select 1, key, line, label, number, row_number() over (partition by key order by number),
               json_array(key, line, label, lane, amount, payload, wanted, state, json(message))
        from main.items where run_id = :new
    )
select max(case is_new when 0 then row end) as before,
       coalesce(max(case is_new when 1 then row end),
                case when max(label) in (select label from main.refusals where run_id = :new and mended_at is null)
                     then '[null,null,null,null,null,null,null,"refused"]' end) as now
from rows
where place = 1 or not :first_only
group by key, place
having before is not now
order by coalesce(max(case is_new when 1 then line end), max(line)), min(number)

-- name: refusal_differences
-- The same for refused rows: 1 for a row that only the new run refuses, 0 for a row that only the older one refuses.
with
    old as (select line, column_name, label, reason, row,
                   row_number() over (partition by line, column_name, label, reason, row order by refusal_id) as place
            from older.refusals where run_id = :old and mended_at is null),
    new as (select line, column_name, label, reason, row,
                   row_number() over (partition by line, column_name, label, reason, row order by refusal_id) as place
            from main.refusals where run_id = :new and mended_at is null)
select 1 as is_new, line, label, reason from (select * from new except select * from old)
union all
select 0, line, label, reason from (select * from old except select * from new)
order by line, is_new

-- ---- A copy of the whole journal ---------------------------------------------------------------------------------
-- `page(table, keys)` gives a page of a table after the keys of the last row, `copy(table)` writes such a page as it is.

-- name: begin_copy
-- A row may name a later one, as that which carries it.
pragma defer_foreign_keys = on

-- name: end_copy
-- SQLite counts on from the last row, and a journal in a file has no owners of billings.
select null

-- name: page_of_items
select * from items where run_id = :run_id and number > :after order by number limit :size

-- name: page_of_refusals
select * from refusals where run_id = :run_id and refusal_id > :after order by refusal_id limit :size

-- ---- The head of a file, and the tables of states, filled where they are not up to date --------------------------------

-- name: head_of_file
select (select application_id from pragma_application_id) as application,
       (select user_version from pragma_user_version) as format, (select count(*) from sqlite_master) as tables

-- name: states
select state, open, settled, in_effect, counts_money, to_send from states

-- name: forget_states
delete from states

-- name: fill_states
insert into states (state, open, settled, in_effect, counts_money, to_send)
select state, open, settled, in_effect, counts_money, to_send
from @rows(:rows, one, state text, open boolean, settled boolean, in_effect boolean, counts_money boolean,
           to_send boolean)

-- name: transitions
select source, target from transitions

-- name: forget_transitions
delete from transitions

-- name: fill_transitions
insert into transitions (source, target) select source, target from @rows(:rows, one, source text, target text)

-- ---- Pieces of blocks ----------------------------------------------------------------------------------------------

-- name: said
@text(@object('is', 'said', 'template', @text(:template), 'values', @object({0})))

-- name: row_columns
number, coalesce((select o.key from items o where o.item_id = items.undoes), key) as key, line, label, state,
coalesce(kind, '') as kind, taken_back <> 0 as taken_back,
case when undoes is not null then coalesce(@undone(items), amount)
     when wanted is null then coalesce(row_amount, amount) when amount is not null then wanted end as amount

-- name: latest_commands
select who, command, answer, given_at
from (select * from commands where run_id = :run_id and {0} order by command_id desc limit :size) latest
order by command_id

-- name: differences_since
-- Items `d` of approved runs `r` that enter a difference on top of an item `i`.
from items i
join runs own on own.run_id = i.run_id
join items d on d.key = i.key and d.item_id > i.item_id and d.amount is not null and d.wanted is not null
join effects e on e.item_id = d.item_id
join runs r on r.run_id = d.run_id and r.job = own.job and r.target = own.target and r.approved_at is not null
where {0} and r.run_id <> i.run_id

-- name: is_a_row
state <> 'replaced' and not (state = 'skipped' and coalesce(kind, '') = {0})

-- name: stands
({0}.state in (select state from states where in_effect) or ({0}.unproven = 1 and {0}.state in ('pending', 'rejected')))

-- name: undone
(
    with recursive behind (undoes, amount, sign) as (
        select o.undoes, o.amount, '-' from items o where o.item_id = {0}.undoes
        union all
        select o.undoes, o.amount, case b.sign when '-' then '' else '-' end
        from behind b
        join items o on o.item_id = b.undoes
    )
    select replace(b.sign || b.amount, '--', '') from behind b where b.undoes is null
)
