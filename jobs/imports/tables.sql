-- The statements of the joined tables, in a temporary SQLite database.

-- name: create_rows
create table joined_rows (
    number text not null,       -- the contract number
    step   text not null,
    line   integer not null,
    made   text not null,       -- what the row says, as JSON; secrets as tokens of the vault
    primary key (number, step, line)
) strict, without rowid

-- name: create_numbers
create table numbers (number text primary key) strict, without rowid

-- name: stage
insert into joined_rows (number, step, line, made) values (:number, :step, :line, :made)

-- name: know
insert or ignore into numbers (number) values (:number)

-- name: known
select number from numbers where number in (select value from json_each(:numbers))

-- name: of_numbers
-- The rows of contract numbers, at most :most of a table for each.
select number, step, made
from (
    select number, step, line, made, row_number() over (partition by number, step order by line) as place
    from joined_rows
    where number in (select value from json_each(:numbers))
)
where place <= :most
order by number, line
