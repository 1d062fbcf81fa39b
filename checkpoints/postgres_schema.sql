-- What a journal in PostgreSQL has besides schema.sql, of which it is format 4. It stands in a schema of its own.

create table journal (
    format integer not null
);

-- Who works on a billing: the process that took a run of it up last. One machine at a time owns a billing.
create table billings (
    target   text primary key,
    epoch    bigint not null default 0,
    machine  text not null default '',
    host     text not null default '',
    process  bigint not null default 0,
    purpose  text not null default '',
    taken_at text not null default '',
    -- What the next owner goes on with: the window, the rate and the breaker of this one, as JSON.
    carried  text not null default '{}'
);

-- Passwords and sessions of rows that are to be sent, encrypted before they leave the process: whoever has the key of that
-- id opens them (jobs/access/vault.py). Deleted when the run is at its end.
create table secrets (
    token     text collate "C" primary key,
    batch     text not null,
    key_id    text not null,
    sealed    text not null,
    sealed_at timestamptz not null default clock_timestamp()
);

create index secrets_by_batch on secrets (batch);

-- The keys by which secrets were encrypted in this journal, by their ids.
create table secret_keys (
    key_id  text primary key,
    used_at timestamptz not null default clock_timestamp()
);

-- ---- What the statements share with those of SQLite ------------------------------------------------------------------

-- The elements of a JSON array, and its elements as texts. Behind `from` they cost no call of a function.
create function elements(list text) returns setof json
    language sql immutable as $$ select json_array_elements(list::json) $$;
create function words(list text) returns setof text
    language sql immutable as $$ select json_array_elements_text(list::json) $$;

-- The clock of the mailbox.
create function seconds() returns double precision
    language sql volatile as $$ select extract(epoch from clock_timestamp())::double precision $$;

-- ---- The table of states, enforced by triggers -------------------------------------------------------------------

create function check_new_item() returns trigger language plpgsql as $$
begin
    if not exists (select 1 from transitions where source = '' and target = new.state) then
        raise exception 'forbidden transition: a new item cannot begin in this state' using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

create trigger items_enter before insert on items for each row execute function check_new_item();

create function check_step() returns trigger language plpgsql as $$
begin
    if not exists (select 1 from transitions where source = old.state and target = new.state) then
        raise exception 'forbidden transition: this state cannot follow that one' using errcode = 'integrity_constraint_violation';
    end if;
    -- In two steps: a condition with a look in it is looked up for each row.
    if old.state = 'pending' and new.state = 'skipped' then
        if exists (select 1 from runs where run_id = new.run_id and approved_at is not null) then
            raise exception 'forbidden transition: a row of an approved run is not skipped' using errcode = 'integrity_constraint_violation';
        end if;
    end if;
    return new;
end $$;

-- Of each column that is set, as SQLite does it, also to the value that it has. The two steps of every row are known to
-- be in the table: the function is not called for them.
create trigger items_step before update of state on items for each row
    when (not (old.state = 'pending' and new.state = 'sending' or old.state = 'sending' and new.state = 'accepted'))
    execute function check_step();

-- ---- Undo --------------------------------------------------------------------------------------------------------

-- An accepted undo takes back the item that it undoes; one whose answer comes into doubt has taken nothing back until it
-- is found by a look-up.
create function take_back() returns trigger language plpgsql as $$
declare
    was boolean := (select in_effect from states where state = old.state);
    now_is boolean := (select in_effect from states where state = new.state);
begin
    if was is distinct from now_is then
        update items set taken_back = now_is::integer where item_id = new.undoes;
    end if;
    return null;
end $$;

create trigger items_take_back after update of state on items
    for each row when (new.undoes is not null and old.state <> new.state) execute function take_back();

-- The undo of an undo restores the item, in chains of any length.
create function restore() returns trigger language plpgsql as $$
begin
    update items set taken_back = 1 - new.taken_back where item_id = new.undoes;
    return null;
end $$;

create trigger items_restore after update of taken_back on items
    for each row when (new.undoes is not null and new.taken_back <> old.taken_back) execute function restore();

-- ---- Who works on what -------------------------------------------------------------------------------------------

-- The sessions that hold the locks of runs.
create view holders as
select objid::bigint as run_id, pid
from pg_locks
where locktype = 'advisory' and objsubid = 2 and granted and objid::bigint > 0
  and database = (select oid from pg_database where datname = current_database())
  and classid::bigint = hashtext('carbon_migrate')::bigint & 4294967295;

-- The last runner of each run; its lease has lapsed where it should have been renewed by now, and was not.
create view last_runners as
select distinct on (run_id) *,
       ended_at is null and renewed_at + lease_ms * interval '1 millisecond' < clock_timestamp() as is_lapsed
from runners
order by run_id, epoch desc;
