-- Format 1 of the journal. Open it with `sqlite3` while nothing runs, or at any time for reading:
--   select state, count(*), decimal_sum(amount) from items where run_id = 1 group by state;
-- Times are UTC, ISO 8601. Amounts are exact decimals as text. Nothing here is secret.

create table runs (
    run_id        integer primary key,
    name          text not null unique,   -- the short word that the operator types and that stands in every mark
    job           text not null,
    parameters    text not null,          -- JSON object, the job's parameters as typed
    target        text not null,          -- the REST API that it writes to
    source        text not null,          -- the file or the query that the rows come from
    source_digest text not null,          -- SHA-256 of a file, '' for a query
    header        text not null,          -- JSON array, the input's own column names
    cursor        text,                   -- where the source goes on after the last frozen page
    created_at    text not null,
    frozen_at     text,                   -- the list of items is complete
    approved_at   text,                   -- sending is allowed
    discarded_at  text                    -- given up before anything was sent
) strict;

-- The table of states (checkpoints/states.py). A source of '' is a newly frozen item.
create table transitions (
    source text not null,
    target text not null,
    primary key (source, target)
) strict, without rowid;

create table items (
    item_id    integer primary key,
    run_id     integer not null references runs,
    number     integer not null,          -- counts from 1 within the run; stands in the mark
    key        text not null,             -- what must not be entered twice
    label      text not null,             -- what people call it
    lane       text not null,             -- one write at a time for one lane (the billing's account)
    payload    text not null,             -- JSON, what the call is made from
    amount     text,
    line       integer,                   -- of the input file
    row        text not null,             -- JSON array, the input's own cells
    state      text not null,
    attempts   integer not null default 0,
    answer     text,                      -- what the billing answered: the new id
    message    text,                      -- the error, or why it was skipped
    frozen_at  text not null,
    sent_at    text,
    changed_at text not null
) strict;

create unique index items_by_run on items (run_id, number);
create index items_by_key on items (key);

-- Rows of the input that did not become items. A conflict names the key of rows that contradict each other.
create table refusals (
    refusal_id  integer primary key,
    run_id      integer not null references runs,
    line        integer,
    column_name text,
    label       text not null,
    reason      text not null,
    row         text not null,
    conflict    text
) strict;

create index refusals_by_run on refusals (run_id);

-- What people decided of rows that no look-up could settle.
create table decisions (
    decision_id integer primary key,
    item_id     integer not null references items,
    decided_at  text not null,
    who         text not null,
    state       text not null,
    why         text not null
) strict;

create index decisions_by_item on decisions (item_id);

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
