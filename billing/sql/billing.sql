-- The billing itself.

-- name: tables
-- Which of the tables that every billing has are there.
select trim(r.rdb$relation_name)
from rdb$relations r
where r.rdb$relation_name in ('ABONENTS', 'ADMIN_ACCOUNTS', 'FINANCE_OPERATIONS')

-- name: scale
-- The integers of the database that are one rouble [S].
select const_value from vpn_const where const_id = 1

-- name: length_of_column
-- How many characters a text column holds.
select f.rdb$character_length
from rdb$relation_fields r
join rdb$fields f on f.rdb$field_name = r.rdb$field_source
where r.rdb$relation_name = :table and r.rdb$field_name = :column

-- name: stacks
-- What the billing has answered but not yet acted upon.
select (select count(*) from account_stack), (select count(*) from events_stack_compact)
from rdb$database

-- name: waits_for_accounts
select count(*) from account_stack where account_id in (:keys)

-- name: waits_for_abonents
select count(*) from events_stack_compact where abonent_id in (:keys)

-- name: columns
-- The columns of a table.
select trim(r.rdb$field_name)
from rdb$relation_fields r
where r.rdb$relation_name = :table
