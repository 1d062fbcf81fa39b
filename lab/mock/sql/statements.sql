-- The tables of a mock billing.

-- name: columns
-- The columns of a billing, without Firebird's own tables.
select trim(r.rdb$relation_name), trim(r.rdb$field_name) from rdb$relation_fields r
where r.rdb$system_flag = 0 or r.rdb$system_flag is null

-- What requests do to a mock billing: the rules when objects are created and saved, the ledger, and the stacks.

-- name: balance_sets
-- The balance is ostatok + debit - credit; debit and credit stay unchanged.
update admin_accounts set ostatok = :summa - debit + credit where id = :account

-- name: balance_adds
update admin_accounts set ostatok = ostatok + :summa where id = :account

-- name: balance_pays
update admin_accounts set debit = debit + :summa where id = :account

-- name: balance_charges
update admin_accounts set credit = credit + :summa where id = :account

-- name: balance_closes
update admin_accounts set ostatok = ostatok + debit, debit = 0 where id = :account

-- name: licensed
-- The subscribers of the licence: those that are there, and those that wait in a stack.
select
    (select count(*) from abonents a where 1 = 1 [and a.is_folder = 0] [and a.deleted = 0])
    + (select count(*) from mock_pending p where p.enrols = 1)
from rdb$database

-- name: promised_payments
-- Whether a service is a promised payment, and the number of other ones that the subscriber has.
select
    (select u.promised from usluga u where u.id = :usluga),
    (select count(*) from users_usluga c join usluga u on u.id = c.usluga_id
     where c.abonent_id = :abonent [and c.deleted = 0] [and c.enabled = 1] and u.promised = 1 and c.id <> :id)
from rdb$database

-- name: set_scale
update vpn_const set const_value = :scale where const_id = 1

-- name: last_request
select maxvalue(
    (select coalesce(max(request), 0) from mock_ledger), (select coalesce(max(request), 0) from mock_pending))
from rdb$database

-- name: enter
insert into mock_ledger
    (entry, request, happened, model, methods, changed_table, changed_key, subject, what)
values
    (gen_id(gen_mock_ledger_id, 1), :request, :happened, :model, :methods, :changed_table, :changed_key, :subject, :what)

-- name: totals
select model, count(*), count(distinct subject) from mock_ledger group by model order by model

-- name: effects
select subject, count(*) from mock_ledger where model = :model group by subject order by subject

-- name: by_subject
-- The effects after a subject of a model, grouped by subject.
select model, subject, changed_key, request from mock_ledger
where model > :model or (model = :model and subject > :subject)
order by model, subject, entry

-- name: depths
select stack, count(*) from mock_pending group by stack

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
