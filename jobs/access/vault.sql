-- The statements of the vault, in SQLite: secrets by their tokens, kept until their run ends.

-- name: create
create table if not exists secrets (
    token     text primary key,
    batch     text not null,      -- the secrets of one run
    secret    text not null,
    sealed_at integer not null    -- seconds since the epoch
) strict, without rowid

-- name: seal
insert or replace into secrets (token, batch, secret, sealed_at) values (:token, :batch, :secret, :now)

-- name: open
select secret from secrets where token = :token

-- name: holds
select 1 from secrets where batch = :batch limit 1

-- name: forget
-- An old batch that no run needs belongs to a process killed before it entered its run; a new one may belong to a
-- process that is about to enter its run.
delete from secrets
where batch = :batch
   or (sealed_at < :before and batch not in (select value from json_each(:needed)))

-- name: page
select token, batch, secret
from secrets
where token > :after and batch in (select value from json_each(:batches))
order by token
limit :size

-- name: copy
insert into secrets (token, batch, secret, sealed_at) values (:token, :batch, :secret, unixepoch())

-- name: wipe
delete from secrets
