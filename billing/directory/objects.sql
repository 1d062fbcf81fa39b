-- Objects of a model as they are now. Each statement selects the subscriber, the account and the label of the object,
-- and in place of {columns} the fields of `billing.directory.models.MODELS` that exist. `by`, `live_by`, `…_by_…` and
-- `…_commented` are the ends of the statements, for the field in place of {key}; one with a `from` of its own replaces
-- that of the statement. Money is scaled by 10^10 and addresses are integers, as they are stored.

-- name: by
where {key} in (:keys)

-- name: live_by
where {key} in (:keys) and {alias}.deleted = 0

-- name: abonents
select a.id, a.account_id, [coalesce(a.contract_number, a.name)|a.contract_number|a.name|null], {columns}
from abonents a

-- name: accounts
select a.id, aa.id, [coalesce(a.contract_number, a.name)|a.contract_number|a.name|null], {columns}
from admin_accounts aa
left join abonents a on a.account_id = aa.id and a.deleted = 0

-- name: balance
cast(coalesce(aa.ostatok, 0) + coalesce(aa.debit, 0) - coalesce(aa.credit, 0) as numeric(18, 0))

-- name: accounts_by_abonent
-- From the subscribers: Firebird up to 4 keeps the order of an outer join, and would read all accounts for each page.
from abonents a
left join admin_accounts aa on aa.id = a.account_id
where a.id in (:keys) and a.deleted = 0 and aa.id is not null

-- name: users
select u.abonent_id, a.account_id, [u.login|null], {columns}
from users u
left join abonents a on a.id = u.abonent_id

-- name: connected
select c.abonent_id, a.account_id, [coalesce(a.contract_number, a.name)|a.contract_number|a.name|null], {columns}
from users_usluga c
left join abonents a on a.id = c.abonent_id

-- name: connected_commented
where c.abonent_id in (:keys) and (c.comment containing :text or c.usluga_id in (:values))

-- name: services
select null, null, [s.name|null], {columns}
from usluga s

-- name: operations
select o.abonent_id, a.account_id, [coalesce(a.contract_number, a.name)|a.contract_number|a.name|null], {columns}
from finance_operations o
left join abonents a on a.id = o.abonent_id

-- name: operations_commented
where o.abonent_id in (:keys) and (o.descr containing :text or o.op_summa in (:values))

-- name: blocks
select h.abonent_id, a.account_id, [coalesce(a.contract_number, a.name)|a.contract_number|a.name|null], {columns}
from abonents_block_history h
left join abonents a on a.id = h.abonent_id

-- name: attributes
select v.abonent_id, a.account_id, [coalesce(a.contract_number, a.name)|a.contract_number|a.name|null], {columns}
from attribute_values v
left join abonents a on a.id = v.abonent_id
