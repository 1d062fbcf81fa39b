-- The journal, format 8. Open it with `sqlite3` while nothing runs, or at any time for reading:
--   select state, count(*), decimal_sum(amount) from items where run_id = 1 group by state;
-- Sentences are JSON: the template and its parameters, from which they are written in any language (texts/said.py), or a
-- text that is the same in all of them. Times are UTC, ISO 8601. Amounts are exact decimals as text. Nothing here is secret
-- but what `purging` holds. The types of both stores are macros (checkpoints/queries.py).
@postgres(create schema if not exists carbon_migrate;)

create table runs (
    run_id        @id,
    name          text not null unique,   -- the short word that the operator types, part of every mark
    job           text not null,
    parameters    text not null,          -- JSON object, the job's parameters as typed
    target        text not null,          -- the address of the REST API
    source        text not null,          -- the file or the query of the rows
    source_digest text not null,          -- SHA-256 of a file, '' for a query
    header        text not null,          -- JSON array, the input's own column names
    policy        text not null default '{}',   -- JSON object, the settings that differ from their defaults
    left_out      text not null default '{}',   -- JSON object, the number of rows left out, by flag
    cursor        text,                   -- the position in the source after the last frozen page
    created_at    text not null,
    frozen_at     text,                   -- the list of items is complete
    approved_at   text,                   -- sending is allowed
    discarded_at  text,                   -- given up before anything was sent
    paused_at     text,                   -- sends nothing until a person continues it
    paused_by     text,
    epoch         @big not null default 0,      -- how often it was taken up; writes under an older epoch are refused
    purged_at     text,                   -- names and values of its rows were removed
    assumptions   text,                   -- a sentence: what its sums rest on unconfirmed, '""' for nothing
    ended_at      text,                   -- ended for good: its pending rows are never sent
    ended_by      text,                   -- who ended it
    ended_why     text,                   -- the reason that was given to end it, null where an undo ended it
    undone_by     text,                   -- the name of the last undo of it that was approved
    purged_totals text                    -- JSON object, its totals if sums of rows were removed as well
) @sqlite(strict);

-- The secret from which the keys of purged rows are made, so that the same row is still recognised; one row, made by
-- the first purge. It lies in the journal, and in no file of its own: without it the same money could be entered twice.
create table purging (
    secret     text not null,
    is_cleaned integer not null default 1 -- 0 while removed texts may still be in free pages of this file or its log
) @sqlite(strict);

-- The states of an item and their properties. This table and the next are filled from checkpoints/states.py whenever
-- the journal is opened, so a new state needs no new format.
create table states (
    state        text primary key,
    open         @truth not null,         -- the run still has work to do on it
    settled      @truth not null,         -- no work is left on it, neither for the run nor for a person
    in_effect    @truth not null,         -- the billing accepted it
    counts_money @truth not null,         -- its effect is in the billing, or may be
    to_send      @truth not null          -- it is to be sent, or is being sent
) @sqlite(strict, without rowid);

-- The permitted steps from state to state. A source of '' is a newly frozen item.
create table transitions (
    source text not null,
    target text not null,
    primary key (source, target)
) @sqlite(strict, without rowid);

create table items (
    item_id    @id,
    run_id     @big not null references runs,
    number     @big not null,             -- counts from 1 within the run; part of the mark
    key        @word not null,            -- the business key, which must not be entered twice
    label      text not null,             -- the name for people
    lane       @word not null,            -- the billing's account; one write at a time in a lane
    payload    text not null,             -- JSON, the data of the call
    amount     text,
    wanted     text,                      -- the values that the row asks for if there is no amount
    line       @big,                      -- of the input file
    row        text not null,             -- JSON array, the input's own cells
    state      text not null,
    attempts   integer not null default 0,
    answer     text,                      -- the billing's answer: the new id
    message    text,                      -- a sentence: the error, or the reason why it was skipped
    kind       text,                      -- what such reasons are counted and compared by, null where there is none
    undoes     @big references items @postgres(deferrable),  -- the item of an earlier run that this one takes back
    taken_back integer not null default 0,      -- 1 if its effect was taken back and not restored since
    unproven   integer not null default 0,      -- 1 if its effect was found without a mark: it may be somebody else's; of a row not in effect: it may be in effect
    carried_by @big references items @postgres(deferrable),  -- the item whose call includes this row; this one is skipped
    row_amount text,                      -- the row's own amount, if its item has another one
    seen       text,                      -- JSON array, the ids of what a look-up has shown to the person who decides
    frozen_at  text not null,
    sent_at    text,
    changed_at text not null
) @sqlite(strict) @postgres(with (fillfactor = 50));  -- a claim stays on its page, and moves in no index

create unique index items_by_run on items (run_id, number);
create index items_by_key on items (key);
create index items_by_lane on items (run_id, lane);
create index items_by_undoes on items (undoes) where undoes is not null;
create index items_by_carrier on items (carried_by) where carried_by is not null;

-- Finds two rows with the id of one new object; an answer that is an id begins with a digit.
create index items_by_answer on items (run_id, answer) where @is_id(answer);

-- Rows of the input that did not become items. A conflict is the key of rows that contradict each other.
create table refusals (
    refusal_id  @id,
    run_id      @big not null references runs,
    line        @big,
    column_name text,
    label       text not null,
    reason      text not null,            -- a sentence
    row         text not null,
    conflict    text,
    mended_at   text                      -- corrected with `--continue`; no longer counts as refused
) @sqlite(strict);

create index refusals_by_run on refusals (run_id);

-- People's decisions on rows that no look-up could settle.
create table decisions (
    decision_id @id,
    item_id     @big not null references items,
    decided_at  text not null,
    who         text not null,
    state       text not null,
    why         text not null
) @sqlite(strict);

create index decisions_by_item on decisions (item_id);

-- Commands to a run while it ran, with their answers. Of a long wait of the run itself: its beginning, with what holds it
-- as the command and why as the answer, and its end, without an answer; `who` is ''.
create table commands (
    command_id @id,
    run_id     @big not null references runs,
    given_at   text not null,
    who        text not null,             -- user, host and process
    command    text not null,             -- as typed: `pause`, `set rate=20`
    answer     text not null              -- a sentence
) @sqlite(strict);

create index commands_by_run on commands (run_id);

@postgres(
-- What no journal has that was restored from a backup, or whose server was started anew or is another one by now: that
-- may have forgotten calls.
create function this_journal() returns text
    language sql volatile as $$ select pg_postmaster_start_time()::text || ' ' || pg_relation_filenode('items') $$;
)
-- The processes that took a run up, each under its epoch. One without an end was killed, or works on it now.
create table runners (
    run_id   @big not null references runs,
    epoch    @big not null,
    purpose  text not null,               -- the command
    who      text not null,               -- user and host
    host     text not null,
    process  @big not null,
    version  text not null,               -- of the program
    billing  text not null,               -- the version that the billing reported, '' if it was not asked
    began_at text not null,
    ended_at text,
    found    @big not null default 0,     -- rows that its look-ups have found in the billing
    absent   @big not null default 0,     -- rows that they have not found: they may be sent again
    @sqlite(left) @postgres("left") @big not null default 0, -- rows that they have left to a person
    @postgres(
    -- What tells a frozen runner from one that is gone: its machine since it was started, when it was last heard of by
    -- the server's clock, how long it may send after that, and how long a call of it takes; 0 once that is over.
    machine    text not null default '',
    renewed_at timestamptz not null default clock_timestamp(),
    lease_ms   bigint not null default 0,
    call_ms    bigint not null default 0,
    -- The journal in which it has begun, "" for one that was copied from elsewhere.
    server     text not null default this_journal(),
    )
    primary key (run_id, epoch)
) @sqlite(strict, without rowid);

-- Requests to the process that works on a run; gone once they are answered. Moments are seconds since 1970 (`seconds()`).
create table requests (
    request_id @id,
    run_id     @big not null references runs,
    epoch      @big not null,             -- of the process that it is meant for, and of no later one
    who        text not null,             -- by its own word: who may write here may steer
    request    text not null,             -- JSON object, the command
    expires_at @real not null,            -- after that it is not taken: its asker was told so, or is gone
    taken_at   @real,
    answer     text                       -- JSON object
) @sqlite(strict);

-- What the process says that works on a run, once a second; gone when that ends in order.
create table live (
    run_id @big primary key references runs,
    epoch  @big not null,
    at     @real not null,
    status text not null                  -- JSON object: its figures, its settings
) @sqlite(strict);

-- The pace of a run each second, of the last fifteen minutes in which it was worked on.
create table samples (
    run_id @big not null references runs,
    slot   @big not null,                 -- the second, modulo the seconds of fifteen minutes
    at     @real not null,
    sample text not null,                 -- JSON object
    primary key (run_id, slot)
) @sqlite(strict, without rowid);

-- What was read back from the billing, and compared with the rows.
create table verifications (
    verification_id @id,
    run_id          @big not null references runs,
    verified_at     text not null,
    who             text not null,
    result          text not null         -- JSON object, counts and sums; of an import its `tally` (tally.py)
) @sqlite(strict);

create index verifications_by_run on verifications (run_id);

-- The roots of the reports that were made of a run, each once.
create table reports (
    report_id @id,
    run_id    @big not null references runs,
    made_at   text not null,
    root      text not null,              -- the Merkle root over the items, hexadecimal
    unique (run_id, root)
) @sqlite(strict);

-- Effects that must not be entered a second time: items whose effect is in the billing, may be there, or may be
-- restored by an undo of an undo that is not settled. Skipped, rejected and taken-back items have no effect, nor has what
-- a run that has ended never sent. A carried row has the state of its carrier.
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
