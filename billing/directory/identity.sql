-- Which billing a database is: its oldest rows, and a handful of subscribers to compare with the API.

-- name: oldest
-- Folders and deleted ones too: their ids and days stay as they are when names, numbers or accounts change.
select first :size a.id, a.create_date
from abonents a
where a.create_date is not null
order by a.id

-- name: ends
select min(a.id), max(a.id) from abonents a where a.is_folder = 0 and a.deleted = 0

-- name: first_from
select first :size a.id
from abonents a
where a.id >= :least and a.is_folder = 0 and a.deleted = 0
order by a.id

-- name: last_of
select first :size a.id
from abonents a
where a.id >= :least and a.is_folder = 0 and a.deleted = 0
order by a.id desc
