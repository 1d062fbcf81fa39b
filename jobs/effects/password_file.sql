-- The places of the lines of a password file, the last of each account, in a temporary SQLite database.

-- name: create
create table lines (user_id text primary key, place integer not null) strict, without rowid

-- name: note
insert or replace into lines (user_id, place) values (?, ?)

-- name: count
select count(*) from lines

-- name: has
select 1 from lines where user_id = ?

-- name: lasting
select place from lines order by place
