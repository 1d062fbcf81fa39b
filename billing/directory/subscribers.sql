-- Subscribers, their accounts and operations. Money is scaled by 10^10, as it is stored.
-- A look-up of many keys has no order that an index has: for each page of keys Firebird would walk along that index.

-- name: contract_numbers
-- The contract numbers of live subscribers, to suggest similar ones for an unknown number.
select first :size a.id, a.contract_number
from abonents a
where a.id > :after and a.is_folder = 0 and a.deleted = 0 and a.contract_number is not null
order by a.id

-- name: a_name
-- The name of any subscriber, to check the charset.
select first 1 a.name from abonents a where a.name is not null and a.is_folder = 0 order by a.id

-- name: balances
-- An inner join is a hash join for Firebird 5, which reads all accounts for each page of keys.
select a.id,
       cast(coalesce(aa.ostatok, 0) + coalesce(aa.debit, 0) - coalesce(aa.credit, 0) as numeric(18, 0))
from abonents a
left join admin_accounts aa on aa.id = a.account_id
where a.id in (:keys) and aa.id is not null

-- name: within
-- The first few of a folder's subscribers and folders.
select first :size a.id, [a.contract_number|null], [a.name|null]
from abonents a
where a.parent_id = :folder and a.deleted = 0

-- name: of_accounts
-- The subscribers of these accounts.
select a.account_id, a.id
from abonents a
where a.account_id in (:keys)
order by a.account_id, a.id

-- name: accounts
-- The balance of the account of each of these subscribers, and its subscribers, each with his last operation.
select own.id, a.id, (select max(f.op_id) from finance_operations f where f.abonent_id = a.id),
       case when aa.id is not null
            then cast(coalesce(aa.ostatok, 0) + coalesce(aa.debit, 0) - coalesce(aa.credit, 0) as numeric(18, 0)) end
from abonents own
left join admin_accounts aa on aa.id = own.account_id
left join abonents a on a.account_id = own.account_id
where own.id in (:keys) and a.id is not null

-- name: since
-- The operations behind one, on the accounts of these subscribers. As it is coalesced, Firebird does not walk along the
-- operations of all others.
select own.id, f.op_id, f.abonent_id, f.op_type, f.op_summa, [f.descr|null], f.storno, [f.op_date|null]
from abonents own
left join abonents a on a.account_id = own.account_id
left join finance_operations f on f.abonent_id = a.id
where own.id in (:keys) and coalesce(f.op_id, 0) > :after
order by own.id, f.op_id

-- name: in_folders
-- The subscribers of these folders, page by page along their ids.
select first :size a.id, a.contract_number, [a.name|null], a.parent_id, [a.tarif_id|null], [a.operator_id|null],
       cast(coalesce(aa.ostatok, 0) + coalesce(aa.debit, 0) - coalesce(aa.credit, 0) as numeric(18, 0))
from abonents a
left join admin_accounts aa on aa.id = a.account_id
where a.id > :after and a.is_folder = 0 and a.deleted = 0 and a.parent_id in (:keys)
order by a.id

-- name: members_by_numbers
-- The subscribers with these contract numbers, in whatever folder, in the same way.
select a.id, a.contract_number, [a.name|null], a.parent_id, [a.tarif_id|null], [a.operator_id|null],
       cast(coalesce(aa.ostatok, 0) + coalesce(aa.debit, 0) - coalesce(aa.credit, 0) as numeric(18, 0))
from abonents a
left join admin_accounts aa on aa.id = a.account_id
where a.contract_number in (:keys) and a.is_folder = 0 and a.deleted = 0
