-- Makes a journal of format 1 in PostgreSQL one of format 2, as postgres_schema.sql would make it anew.

alter table billings add column if not exists carried text not null default '{}';
alter table items add column if not exists unproven integer not null default 0;

-- Requests to the process that works on a run, from where its socket does not reach; gone once they are answered.
create table if not exists requests (
    request_id bigint generated always as identity primary key,
    run_id     bigint not null references runs,
    -- Of the process that it is meant for, and of no later one.
    epoch      bigint not null,
    who        text not null,
    request    text not null,
    asked_at   timestamptz not null default clock_timestamp(),
    -- After that it is not taken any more: its asker was told so, or is gone.
    expires_at timestamptz not null,
    taken_at   timestamptz,
    answer     text
);

create table if not exists secrets (
    token     text collate "C" primary key,
    batch     text not null,
    key_id    text not null,
    sealed    text not null,
    sealed_at timestamptz not null default clock_timestamp()
);

create index if not exists secrets_by_batch on secrets (batch);

create table if not exists secret_keys (
    key_id  text primary key,
    used_at timestamptz not null default clock_timestamp()
);
