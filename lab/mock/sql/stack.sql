-- The stacks: answered writes that wait for their effect.

-- name: depths
select stack, count(*) from mock_pending group by stack

-- name: last_request
select coalesce(max(request), 0) from mock_pending

-- name: touched
-- The changes of a request in this transaction.
select model, changed_key, subject from mock_ledger where request = :request order by entry

-- name: waiting
-- Entries that concern a subscriber or an account.
select count(*) from mock_pending where abonent_id = :abonent or account_id = :account

-- name: push
insert into mock_pending (entry, request, asked, stack, stack_id, account_id, abonent_id, enrols, call)
values (gen_id(gen_mock_pending_id, 1), :request, :asked, :stack, :id, :account, :abonent, :enrols, :call)

-- name: pop
delete from mock_pending where entry = :entry

-- name: first
select first :count entry, request, stack, stack_id, call from mock_pending order by entry
