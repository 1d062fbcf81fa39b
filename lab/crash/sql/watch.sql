-- The lab's own eye in the journal of a round: every step of every item, in the transaction of the step itself.
-- The journal keeps no history; how many were unknown on the way, and what became of them, could not be told later.
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
