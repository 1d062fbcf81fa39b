-- A journal of format 5 becomes one of format 6: templates and parameters beside its sentences, assumptions, what look-ups
-- have found and shown, what may be somebody else's, and the end of runs. What it has keeps its English text alone. The view
-- is made anew behind this.
alter table items add column message_said text;
alter table refusals add column reason_said text;
alter table commands add column answer_said text;
alter table runs add column assumptions text;
alter table runs add column assumptions_said text;
alter table runners add column found integer not null default 0;
alter table runners add column absent integer not null default 0;
alter table runners add column left integer not null default 0;
alter table items add column unproven integer not null default 0;
alter table items add column seen text;
alter table runs add column ended_at text;
alter table runs add column ended_by text;
alter table runs add column ended_why text;
alter table runs add column undone_by text;
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
