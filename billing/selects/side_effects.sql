-- What a select reaches, by the database's own tables; their columns are those of Firebird 2.1.

-- name: reached
-- What views, computed columns, procedures and functions are made of: the object, its part, and the part's kind.
-- The expressions of a view and of computed columns stand under the names of the columns' domains, and so do the
-- CHECKs of domains, which are evaluated wherever a value is cast or given to one.
select trim(d.rdb$dependent_name), trim(d.rdb$depended_on_name), d.rdb$depended_on_type
from rdb$dependencies d
where d.rdb$dependent_name in (:names) and d.rdb$dependent_type in (1, 3, 4, 5, 15, 19)
union
select trim(r.rdb$relation_name), trim(d.rdb$depended_on_name), d.rdb$depended_on_type
from rdb$relation_fields r
join rdb$dependencies d on d.rdb$dependent_name = r.rdb$field_source and d.rdb$dependent_type = 3
where r.rdb$relation_name in (:names)

-- name: procedures
-- The stored procedures of these names, and their texts; null where the text was taken away, or is in a library.
select trim(p.rdb$procedure_name), p.rdb$procedure_source
from rdb$procedures p
where p.rdb$procedure_name in (:names)

-- name: library_functions
-- The functions of these names and their libraries; null for a stored function, which Firebird 2.1 does not have.
select trim(f.rdb$function_name), trim(f.rdb$module_name)
from rdb$functions f
where f.rdb$function_name in (:names)

-- name: stored_functions
-- The stored functions of these names, and their texts.
select trim(f.rdb$function_name), f.rdb$function_source
from rdb$functions f
where f.rdb$function_name in (:names)
