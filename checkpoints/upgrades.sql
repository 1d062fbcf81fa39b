-- What makes a journal one of the next format: a block a format of a journal in a file, whose number is by 4 higher than that of
-- the same journal in PostgreSQL. What they drop without a word is made anew by the schema.

-- name: from_5
-- Templates and parameters beside the sentences, assumptions, what look-ups have found and shown, what may be somebody
-- else's, and the end of runs. What the journal has keeps its English text alone. Early journals of format 1 in PostgreSQL
-- have less of this than later ones.
@sqlite(
alter table items add column message_said text;
alter table refusals add column reason_said text;
alter table commands add column answer_said text;
alter table runs add column assumptions text;
alter table runs add column assumptions_said text;
alter table runners add column found integer not null default 0;
alter table runners add column absent integer not null default 0;
alter table runners add column left integer not null default 0;
)
@postgres(
alter table billings add column if not exists carried text not null default '{}';
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
)
alter table items add column @postgres(if not exists) unproven integer not null default 0;
alter table items add column @postgres(if not exists) seen text;
alter table runs add column @postgres(if not exists) ended_at text;
alter table runs add column @postgres(if not exists) ended_by text;
alter table runs add column @postgres(if not exists) ended_why text;
alter table runs add column @postgres(if not exists) undone_by text;
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

-- name: from_6
-- Each sentence stands once, as its template and values, and a reason has beside it what it is counted and compared by. A
-- text without a template becomes a JSON string.
alter table items add column kind text;
update items
set kind = @sqlite(case when instr(message, ':') > 0 then substr(message, 1, instr(message, ':') - 1) else message end)
           @postgres(split_part(message, ':', 1)),
    message = coalesce(message_said, @quoted(message))
where message is not null;
update refusals set reason = coalesce(reason_said, @quoted(reason));
update commands set answer = coalesce(answer_said, @quoted(answer));
update runs set assumptions = coalesce(assumptions_said, @quoted(assumptions)) where assumptions is not null;
alter table items drop column message_said;
alter table refusals drop column reason_said;
alter table commands drop column answer_said;
alter table runs drop column assumptions_said;

-- name: from_7
-- The mailbox: requests that the journal has are of moments that have passed.
drop table if exists requests;
@postgres(
alter table runners add column if not exists server text not null default '';
drop view last_runners;
drop trigger items_step on items;
)
