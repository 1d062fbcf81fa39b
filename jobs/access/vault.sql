-- The statements of the vault, in SQLite: secrets by their tokens, until the run that they belong to is at its end.

-- name: create
create table if not exists secrets (
    token     text primary key,
    batch     text not null,      -- what a run remembers of all its secrets
    secret    text not null,
    sealed_at integer not null    -- seconds since the epoch
) strict, without rowid

-- name: seal
insert or replace into secrets (token, batch, secret, sealed_at) values (:token, :batch, :secret, :now)

-- name: open
select secret from secrets where token = :token

-- name: forget
-- A batch that no run needs belongs to a process that was killed before it had entered its run; one that was sealed
-- just now may belong to a process that is about to.
delete from secrets
where batch = :batch
   or (sealed_at < :before and batch not in (select value from json_each(:needed)))
