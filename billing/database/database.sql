-- The database's own tables: columns and lengths.

-- name: columns
-- The columns of tables.
select trim(r.rdb$relation_name), trim(r.rdb$field_name)
from rdb$relation_fields r
where r.rdb$relation_name in (:tables)

-- name: length_of_column
-- The length of a text column in characters.
select f.rdb$character_length
from rdb$relation_fields r
join rdb$fields f on f.rdb$field_name = r.rdb$field_source
where r.rdb$relation_name = :table and r.rdb$field_name = :column
