-- The journal in PostgreSQL, format 4 (postgres_upgrade.sql leads to format 2, postgres_upgrade_2.sql from there to
-- format 3, from which the mailbox is made anew): the tables of schema.sql, where each column is explained, in a schema of
-- their own, whose name takes the place of carbon_migrate.

create schema if not exists carbon_migrate;

create table journal (
    format integer not null
);

create table runs (
    run_id        bigint generated always as identity primary key,
    name          text not null unique,
    job           text not null,
    parameters    text not null,
    target        text not null,
    source        text not null,
    source_digest text not null,
    header        text not null,
    policy        text not null default '{}',
    left_out      text not null default '{}',
    cursor        text,
    created_at    text not null,
    frozen_at     text,
    approved_at   text,
    discarded_at  text,
    paused_at     text,
    paused_by     text,
    epoch         bigint not null default 0,
    purged_at     text,
    assumptions   text,
    purged_totals text,
    ended_at      text,
    ended_by      text,
    ended_why     text,
    undone_by     text
);

create table purging (
    secret     text not null,
    is_cleaned integer not null default 1
);

create table states (
    state        text primary key,
    open         boolean not null,
    settled      boolean not null,
    in_effect    boolean not null,
    counts_money boolean not null,
    to_send      boolean not null
);

create table transitions (
    source text not null,
    target text not null,
    primary key (source, target)
);

create table items (
    item_id    bigint generated always as identity primary key,
    run_id     bigint not null references runs,
    number     bigint not null,
    key        text collate "C" not null,
    label      text not null,
    lane       text collate "C" not null,
    payload    text not null,
    amount     text,
    wanted     text,
    line       bigint,
    row        text not null,
    state      text not null,
    attempts   integer not null default 0,
    answer     text,
    message    text,
    kind       text,
    undoes     bigint references items deferrable,
    taken_back integer not null default 0,
    unproven   integer not null default 0,
    carried_by bigint references items deferrable,
    row_amount text,
    frozen_at  text not null,
    sent_at    text,
    changed_at text not null,
    seen       text
);

create unique index items_by_run on items (run_id, number);
create index items_by_key on items (key);
create index items_by_lane on items (run_id, lane);
create index items_by_undoes on items (undoes) where undoes is not null;
create index items_by_carrier on items (carried_by) where carried_by is not null;
create index items_by_answer on items (run_id, answer) where answer ~ '^[0-9]';

create table refusals (
    refusal_id  bigint generated always as identity primary key,
    run_id      bigint not null references runs,
    line        bigint,
    column_name text,
    label       text not null,
    reason      text not null,
    row         text not null,
    conflict    text,
    mended_at   text
);

create index refusals_by_run on refusals (run_id);

create table decisions (
    decision_id bigint generated always as identity primary key,
    item_id     bigint not null references items,
    decided_at  text not null,
    who         text not null,
    state       text not null,
    why         text not null
);

create index decisions_by_item on decisions (item_id);

create table commands (
    command_id bigint generated always as identity primary key,
    run_id     bigint not null references runs,
    given_at   text not null,
    who        text not null,
    command    text not null,
    answer     text not null
);

create index commands_by_run on commands (run_id);

-- What no journal has that was restored from a backup, or whose server was started anew or is another one by now: that
-- may have forgotten calls.
create function this_journal() returns text
    language sql volatile as $$ select pg_postmaster_start_time()::text || ' ' || pg_relation_filenode('items') $$;

create table runners (
    run_id   bigint not null references runs,
    epoch    bigint not null,
    purpose  text not null,
    who      text not null,
    host     text not null,
    process  bigint not null,
    version  text not null,
    billing  text not null,
    began_at text not null,
    ended_at text,
    found    bigint not null default 0,
    absent   bigint not null default 0,
    "left"   bigint not null default 0,
    -- What tells a frozen runner from one that is gone: its machine since it was started, when it was last heard of by
    -- the server's clock, how long it may send after that, and how long a call of it takes; 0 once that is over.
    machine    text not null default '',
    renewed_at timestamptz not null default clock_timestamp(),
    lease_ms   bigint not null default 0,
    call_ms    bigint not null default 0,
    -- The journal in which it has begun, "" for one that was copied from elsewhere.
    server     text not null default this_journal(),
    primary key (run_id, epoch)
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

create table requests (
    request_id bigint generated always as identity primary key,
    run_id     bigint not null references runs,
    epoch      bigint not null,
    who        text not null,
    request    text not null,
    expires_at double precision not null,
    taken_at   double precision,
    answer     text
);

create table live (
    run_id bigint primary key references runs,
    epoch  bigint not null,
    at     double precision not null,
    status text not null
);

create table samples (
    run_id bigint not null references runs,
    slot   bigint not null,
    at     double precision not null,
    sample text not null,
    primary key (run_id, slot)
);

create table verifications (
    verification_id bigint generated always as identity primary key,
    run_id          bigint not null references runs,
    verified_at     text not null,
    who             text not null,
    result          text not null
);

create index verifications_by_run on verifications (run_id);

create table reports (
    report_id bigint generated always as identity primary key,
    run_id    bigint not null references runs,
    made_at   text not null,
    root      text not null,
    unique (run_id, root)
);

-- Passwords and sessions of rows that are to be sent, encrypted before they leave the process: whoever has the key of that
-- id opens them (jobs/access/vault_keys.py). Deleted when the run is at its end.
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

-- The elements of a JSON array, and its elements as numbers and as texts.
create function elements(list text) returns setof json
    language sql immutable as $$ select json_array_elements(list::json) $$;
create function numbers(list text) returns setof bigint
    language sql immutable as $$ select json_array_elements_text(list::json)::bigint $$;
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
    if old.state = 'pending' and new.state = 'skipped'
        and exists (select 1 from runs where run_id = new.run_id and approved_at is not null) then
        raise exception 'forbidden transition: a row of an approved run is not skipped' using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

-- Of each column that is set, as SQLite does it, also to the value that it has.
create trigger items_step before update of state on items for each row execute function check_step();

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

create view effects as
select i.item_id, i.run_id, i.key, coalesce(i.row_amount, i.amount) as amount, i.wanted, c.state, i.line, c.changed_at
from items i
join items c on c.item_id = coalesce(i.carried_by, i.item_id)
where c.state in (select state from states where in_effect or not settled)
  and not (c.state = 'pending' and exists (select 1 from runs where run_id = c.run_id and ended_at is not null))
  and (c.taken_back = 0 or exists (
      with recursive behind (item_id, run_id, state) as (
          select u.item_id, u.run_id, u.state from items u where u.undoes = c.item_id
          union all
          select u.item_id, u.run_id, u.state from behind b join items u on u.undoes = b.item_id
      )
      select 1 from behind b
      where state in (select state from states where not settled)
        and not (state = 'pending' and exists (select 1 from runs where run_id = b.run_id and ended_at is not null))
  ));

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
