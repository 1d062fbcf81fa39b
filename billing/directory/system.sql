-- The billing as a whole: its scale, its charset, its stacks.

-- name: scale
-- The integer of the database that is one rouble [S].
select c.const_value from vpn_const c where c.const_id = 1

-- name: charset
-- The default charset of texts.
select d.rdb$character_set_name from rdb$database d

-- name: stacks
-- Work that the billing has accepted and not yet done; a missing stack counts as empty.
select [(select count(*) from account_stack s)|0], [(select count(*) from events_stack_compact e)|0]
from rdb$database

-- name: waits_for_accounts
select count(*) from account_stack s where s.account_id in (:keys)

-- name: waits_for_abonents
select count(*) from events_stack_compact e where e.abonent_id in (:keys)

-- name: waits_for_new
-- Entries of subscribers and folders that are not there yet: those that are being created.
select count(*)
from events_stack_compact e
left join abonents a on a.id = e.abonent_id
where a.id is null

-- The number of entries in each stack [D].

-- name: ACCOUNT_STACK
select count(*) from account_stack

-- name: EVENTS_STACK_COMPACT
select count(*) from events_stack_compact

-- name: EVENTS_STACK
select count(*) from events_stack
