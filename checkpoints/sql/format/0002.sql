-- Format 2: the way back, corrected rows, and a run that is steered while it runs.

-- The format in which the calls of a run's items are kept. Those of format 1 nothing can read any more; such runs are at
-- their ends (sql/unfinished.sql), and their items say what was entered.
alter table runs add column format integer not null default 2;

update runs set format = 1;

-- An opening balance and a receipt of one subscriber are two entries: since format 2 their keys end in their types.
update items
set key = key || '/' || (
    select coalesce(json_extract(r.parameters, '$.op_type'), '8') from runs r where r.run_id = items.run_id
)
where run_id in (select run_id from runs where job = 'balances');

-- The item of an earlier run that this one takes back; null where it takes nothing back.
alter table items add column undoes integer references items;

create index items_by_undoes on items (undoes) where undoes is not null;

-- Whether the effect of an accepted item has been taken back, and not been restored since.
alter table items add column taken_back integer not null default 0;

create trigger items_take_back after update of state on items
when new.state = 'accepted' and new.undoes is not null
begin
    update items set taken_back = 1 where item_id = new.undoes;
end;

-- Taking back what took something back restores that, however long the chain (pragma recursive_triggers).
create trigger items_restore after update of taken_back on items
when new.undoes is not null and new.taken_back <> old.taken_back
begin
    update items set taken_back = 1 - new.taken_back where item_id = new.undoes;
end;

-- What a row asks for, in words, where no amount says it: rows of one key that ask for different things contradict
-- each other.
alter table items add column wanted text;

-- What must not be entered a second time: items whose effect is there, may be there, or is about to be restored by the
-- undo of an undo that is not at its end. What was skipped or refused has had none, and what was taken back has none now.
create view effects as
select i.item_id, i.run_id, i.key, i.amount, i.wanted, i.state, i.line, i.changed_at
from items i
where i.state not in ('skipped', 'rejected', 'replaced')
  and (i.taken_back = 0 or exists (
      with recursive behind (item_id, state) as (
          select u.item_id, u.state from items u where u.undoes = i.item_id
          union all
          select u.item_id, u.state from behind b join items u on u.undoes = b.item_id
      )
      select 1 from behind where state in ('pending', 'sending', 'unknown', 'manual')
  ));

-- A refused row of the input that came back corrected (`--continue`): when. It counts as refused no longer.
alter table refusals add column mended_at text;

-- A run that somebody has paused: since when, and who. It stays paused until somebody lets it go on.
alter table runs add column paused_at text;
alter table runs add column paused_by text;

-- How hard a run drives the billing: JSON object of what is not as it is by default, each as `set` takes it.
alter table runs add column policy text not null default '{}';

-- What people told a run while it ran, and what came of it.
create table commands (
    command_id integer primary key,
    run_id     integer not null references runs,
    given_at   text not null,
    who        text not null,             -- user and host, and the process that it came from
    command    text not null,             -- as typed: `pause`, `set rate=20`
    answer     text not null
) strict;

create index commands_by_run on commands (run_id);
