-- The exchanges of a recording that is replayed, in a temporary database (SQLite). `spare` ones need not be asked for.

-- name: unlogged
pragma journal_mode = off

-- name: table
create table exchanges (
    number integer primary key, digest blob not null, spare integer not null, served integer not null default 0,
    line blob not null)

-- name: add
insert into exchanges (digest, spare, line) values (:digest, :spare, :line)

-- name: index
create index by_request on exchanges (digest, served, spare, number)

-- name: of_request
-- The next one first, and those that were served last.
select number, served, line from exchanges where digest = :digest order by served, spare, number

-- name: serve
update exchanges set served = 1 where number = :number

-- name: never_made
select line from exchanges where served = 0 and spare = 0 order by number limit :most

-- name: due
select count(*) from exchanges where served = 0 and spare = 0
