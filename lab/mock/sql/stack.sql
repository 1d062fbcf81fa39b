-- The stacks: answered writes that wait for their effect.

-- name: depths
select stack, count(*) from mock_pending group by stack

-- name: last_request
select coalesce(max(request), 0) from mock_pending

-- name: touched
-- The changes of a request in this transaction.
select model, changed_table, changed_key, subject from mock_ledger where request = :request order by entry

-- name: of_abonent
select a.id, [a.account_id|null] from abonents a where a.id = :key

-- name: waiting
-- Entries that concern a subscriber or an account.
select count(*) from mock_pending where abonent_id = :abonent or account_id = :account

-- name: push_account_stack
insert into account_stack (id, account_id, created) values (:id, :key, :asked)

-- name: push_events_stack_compact
insert into events_stack_compact (id, abonent_id, created) values (:id, :key, :asked)

-- name: push_account_stack_bare
-- For a stack that does not record the subscriber of its entries.
insert into account_stack (id, created) values (:id, :asked)

-- name: push_events_stack_compact_bare
insert into events_stack_compact (id, created) values (:id, :asked)

-- name: pop_account_stack
delete from account_stack where id = :id

-- name: pop_events_stack_compact
delete from events_stack_compact where id = :id

-- name: push
insert into mock_pending (entry, request, asked, stack, stack_id, account_id, abonent_id, enrols, call)
values (gen_id(gen_mock_pending_id, 1), :request, :asked, :stack, :id, :account, :abonent, :enrols, :call)

-- name: pop
delete from mock_pending where entry = :entry

-- name: first
select first :count entry, request, stack, stack_id, call from mock_pending order by entry
