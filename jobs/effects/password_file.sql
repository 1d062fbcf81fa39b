-- The places of the lines of a password file, in a temporary SQLite database.

-- name: create
create table lines (user_id text not null, place integer primary key) strict

-- name: index
create index lines_by_user on lines (user_id)

-- name: note
insert into lines (user_id, place) values (?, ?)

-- name: count
select count(*), count(distinct user_id) from lines

-- name: has
select 1 from lines where user_id = ? limit 1

-- name: lasting
select max(place) from lines group by user_id order by 1
