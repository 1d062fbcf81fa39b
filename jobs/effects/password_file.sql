-- The places of the lines of a password file, in a temporary SQLite database.

-- name: create
create table lines (user_id text not null, place integer primary key) strict

-- name: note
insert into lines (user_id, place) values (?, ?)

-- name: count
select count(*), count(distinct user_id) from lines

-- name: lasting
select max(place) from lines group by user_id order by 1
