-- The billing itself.

-- name: scale
-- The integers of the database that are one rouble [S].
select c.const_value from vpn_const c where c.const_id = 1

-- name: length_of_column
-- How many characters a text column holds.
select f.rdb$character_length
from rdb$relation_fields r
join rdb$fields f on f.rdb$field_name = r.rdb$field_source
where r.rdb$relation_name = :table and r.rdb$field_name = :column

-- name: stacks
-- What the billing has answered but not yet acted upon; in a stack that is not there nothing waits.
select [(select count(*) from account_stack s)|0], [(select count(*) from events_stack_compact e)|0]
from rdb$database

-- name: waits_for_accounts
select count(*) from account_stack s where s.account_id in (:keys)

-- name: waits_for_abonents
select count(*) from events_stack_compact e where e.abonent_id in (:keys)

-- name: columns
-- The columns of tables.
select trim(r.rdb$relation_name), trim(r.rdb$field_name)
from rdb$relation_fields r
where r.rdb$relation_name in (:tables)

-- name: charset
-- The charset that texts have where their column says nothing else.
select d.rdb$character_set_name from rdb$database d
