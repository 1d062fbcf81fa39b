-- The rows that a sample is chosen from, in a temporary SQLite database.

-- name: create_rows
create table traits (line integer not null, numbers text not null) strict    -- as a JSON array

-- name: keep_row
insert into traits (line, numbers) values (:line, :numbers)

-- name: read_rows
select line, numbers from traits order by rowid
