-- The billing's stacks, one by one: how many entries wait in each [D].

-- name: ACCOUNT_STACK
select count(*) from account_stack

-- name: EVENTS_STACK_COMPACT
select count(*) from events_stack_compact

-- name: EVENTS_STACK
select count(*) from events_stack
