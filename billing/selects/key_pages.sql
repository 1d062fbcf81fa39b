-- The statements around an operator's select, to read it page by page along its first column.

-- name: first_page
-- {select} is replaced by the select, {names} by new names of its columns: c1, c2, …
select first :page_size *
from (
{select}
) q ({names})
order by q.c1

-- name: next_page
select first :page_size *
from (
{select}
) q ({names})
where q.c1 > :page_after
order by q.c1

-- name: unique_integers
-- The unique integer columns of a table. A text column is not enough: both texts 1 and 01 equal the number 1.
select trim(s.rdb$field_name)
from rdb$relation_constraints c
join rdb$indices i on i.rdb$index_name = c.rdb$index_name
join rdb$index_segments s on s.rdb$index_name = i.rdb$index_name
join rdb$relation_fields r on r.rdb$relation_name = c.rdb$relation_name and r.rdb$field_name = s.rdb$field_name
join rdb$fields f on f.rdb$field_name = r.rdb$field_source
where c.rdb$relation_name = :table and c.rdb$constraint_type in ('PRIMARY KEY', 'UNIQUE')
  and i.rdb$segment_count = 1 and f.rdb$field_type in (7, 8, 16) and f.rdb$field_scale = 0
