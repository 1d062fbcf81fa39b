-- ---- The table of states, enforced by triggers -------------------------------------------------------------------

create trigger items_enter before insert on items
when not exists (select 1 from transitions where source = '' and target = new.state)
begin
    select raise(abort, 'forbidden transition: a new item cannot begin in this state');
end;

create trigger items_step before update of state on items
when not exists (select 1 from transitions where source = old.state and target = new.state)
begin
    select raise(abort, 'forbidden transition: this state cannot follow that one');
end;

-- No row of an approved run is skipped.
create trigger items_skip before update of state on items
when old.state = 'pending' and new.state = 'skipped'
    and exists (select 1 from runs where run_id = new.run_id and approved_at is not null)
begin
    select raise(abort, 'forbidden transition: a row of an approved run is not skipped');
end;

-- ---- Undo --------------------------------------------------------------------------------------------------------

-- An accepted undo takes back the item that it undoes.
create trigger items_take_back after update of state on items
when new.undoes is not null
    and new.state in (select state from states where in_effect)
    and old.state not in (select state from states where in_effect)
begin
    update items set taken_back = 1 where item_id = new.undoes;
end;

-- An undo whose answer comes into doubt has taken nothing back until it is found by a look-up.
create trigger items_doubt_undo after update of state on items
when new.undoes is not null
    and old.state in (select state from states where in_effect)
    and new.state not in (select state from states where in_effect)
begin
    update items set taken_back = 0 where item_id = new.undoes;
end;

-- The undo of an undo restores the item, in chains of any length (pragma recursive_triggers).
create trigger items_restore after update of taken_back on items
when new.undoes is not null and new.taken_back <> old.taken_back
begin
    update items set taken_back = 1 - new.taken_back where item_id = new.undoes;
end;
