-- The tables of a mock billing.

-- name: columns
-- The columns of a billing, without Firebird's own tables.
select trim(r.rdb$relation_name), trim(r.rdb$field_name) from rdb$relation_fields r
where r.rdb$system_flag = 0 or r.rdb$system_flag is null

-- name: dependents
-- The statements that drop what depends on a column, or with the column "" what depends on a table: the foreign keys of
-- other tables, for a column where it is of the key alone, then its own constraints, then its indexes.
select statement from (
    select 1 as rank, 'alter table ' || trim(c.rdb$relation_name) || ' drop constraint ' || trim(c.rdb$constraint_name)
        as statement
    from rdb$ref_constraints r
    join rdb$relation_constraints c on c.rdb$constraint_name = r.rdb$constraint_name
    join rdb$relation_constraints u on u.rdb$constraint_name = r.rdb$const_name_uq
    join rdb$index_segments s on s.rdb$index_name = u.rdb$index_name
    where u.rdb$relation_name = :table and (cast(:column as varchar(31)) = '' or s.rdb$field_name = :column)
    union
    select iif(c.rdb$constraint_type = 'FOREIGN KEY', 2, 3),
        'alter table ' || trim(c.rdb$relation_name) || ' drop constraint ' || trim(c.rdb$constraint_name)
    from rdb$relation_constraints c
    join rdb$index_segments s on s.rdb$index_name = c.rdb$index_name
    where c.rdb$relation_name = :table and s.rdb$field_name = :column
        and c.rdb$constraint_type in ('FOREIGN KEY', 'PRIMARY KEY', 'UNIQUE')
    union
    select 4, 'drop index ' || trim(i.rdb$index_name)
    from rdb$indices i
    join rdb$index_segments s on s.rdb$index_name = i.rdb$index_name
    where i.rdb$relation_name = :table and s.rdb$field_name = :column
        and not exists (
            select c.rdb$index_name from rdb$relation_constraints c where c.rdb$index_name = i.rdb$index_name)
)
order by rank
