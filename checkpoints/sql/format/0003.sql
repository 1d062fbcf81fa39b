-- Format 3: what shares an account is found by it, an answer that may be another row's is doubted, an old runner is
-- fenced off, and a run leaves out rows that it was told to.

-- Rows of one run that reach one account: what the run has set there before, and what an undo brings back.
create index items_by_lane on items (run_id, lane);

-- Two rows with the id of one new object: an answer that is an id begins with a digit.
create index items_by_answer on items (run_id, answer) where answer glob '[0-9]*';

-- An undo that is in doubt has taken nothing back until it is looked up and found.
create trigger items_doubt_undo after update of state on items
when old.state = 'accepted' and new.state = 'unknown' and new.undoes is not null
begin
    update items set taken_back = 0 where item_id = new.undoes;
end;

-- How often the run was taken up. Each write of its runner names the epoch that it has raised the run to, and under an
-- older one nothing is written.
alter table runs add column epoch integer not null default 0;

-- Who has taken the run up last, and since when. Whether it still works on it, only the lock on this file tells.
alter table runs add column held_host text;
alter table runs add column held_process integer;
alter table runs add column held_since text;

-- Rows of the input that the run was told to leave out: JSON object, how many by which flag. They are no items.
alter table runs add column left_out text not null default '{}';

-- Rows of one account that one operation stands for: the item that carries this row, and what the row itself asks for
-- where that is not the amount of its item. A row that is carried is skipped; whether it is entered tells its carrier.
alter table items add column carried_by integer references items;
alter table items add column row_amount text;

create index items_by_carrier on items (carried_by) where carried_by is not null;

drop view effects;

create view effects as
select i.item_id, i.run_id, i.key, coalesce(i.row_amount, i.amount) as amount, i.wanted, c.state, i.line, c.changed_at
from items i
join items c on c.item_id = coalesce(i.carried_by, i.item_id)
where c.state not in ('skipped', 'rejected', 'replaced')
  and (c.taken_back = 0 or exists (
      with recursive behind (item_id, state) as (
          select u.item_id, u.state from items u where u.undoes = c.item_id
          union all
          select u.item_id, u.state from behind b join items u on u.undoes = b.item_id
      )
      select 1 from behind where state in ('pending', 'sending', 'unknown', 'manual')
  ));

-- Once a run is approved, no row of it is skipped any more.
create trigger items_skip before update of state on items
when old.state = 'pending' and new.state = 'skipped'
    and exists (select 1 from runs where run_id = new.run_id and approved_at is not null)
begin
    select raise(abort, 'forbidden transition: a row of an approved run is not skipped');
end;
