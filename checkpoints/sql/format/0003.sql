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
