-- What the objects of a model are now. Each statement gives the subscriber, the account, what people call the object,
-- and then the fields in the order of `billing.things.MODELS`; `…_by_…` and `…_commented` are the ends that find some
-- of them. Money comes scaled by 10^10, addresses as integers, as they are stored.

-- name: abonents
select a.id, a.account_id, coalesce(a.contract_number, a.name),
       a.id, a.operator_id, a.tarif_id, a.tarif_next_id, a.tarif_next_date, a.need_recalc,
       a.own_disabled_start, a.own_disabled_end, a.parent_id, a.name, a.contract_number, a.sms, a.email,
       a.is_folder, a.deleted
from abonents a

-- name: abonents_by_id
where a.id in (:keys)

-- name: accounts
select a.id, aa.id, coalesce(a.contract_number, a.name),
       aa.id, a.id, aa."limit", aa.limit_warning,
       cast(coalesce(aa.ostatok, 0) + coalesce(aa.debit, 0) - coalesce(aa.credit, 0) as numeric(18, 0))
from admin_accounts aa
left join abonents a on a.account_id = aa.id and a.deleted = 0

-- name: accounts_by_id
where aa.id in (:keys)

-- name: accounts_by_abonent
where a.id in (:keys)

-- name: users
select u.abonent_id, a.account_id, u.login,
       u.id, u.abonent_id, u.login, u.ip, u.mac, u.pull, u.snatip, u.snat_pull, u.enabled, u.deleted
from users u
left join abonents a on a.id = u.abonent_id

-- name: users_by_id
where u.id in (:keys)

-- name: users_by_abonent
where u.abonent_id in (:keys) and u.deleted = 0

-- name: users_by_login
where u.login in (:keys) and u.deleted = 0

-- name: connected
select c.abonent_id, a.account_id, coalesce(a.contract_number, a.name),
       c.id, c.abonent_id, c.usluga_id, c.manager_id, c.comment, c.next_date, c.enabled, c.deleted
from users_usluga c
left join abonents a on a.id = c.abonent_id

-- name: connected_by_id
where c.id in (:keys)

-- name: connected_by_abonent
where c.abonent_id in (:keys) and c.deleted = 0

-- name: connected_commented
where c.abonent_id in (:keys) and c.comment containing :text

-- name: services
select null, null, s.name, s.id, s.name, s.summa, s.operator_id
from usluga s

-- name: services_by_id
where s.id in (:keys)

-- name: operations
select o.abonent_id, a.account_id, coalesce(a.contract_number, a.name),
       o.op_id, o.abonent_id, o.op_type, o.op_summa, o.op_date, o.descr, o.storno, o.sync1c, o.code1c
from finance_operations o
left join abonents a on a.id = o.abonent_id

-- name: operations_by_id
where o.op_id in (:keys)

-- name: operations_by_abonent
where o.abonent_id in (:keys)

-- name: operations_commented
where o.abonent_id in (:keys) and o.descr containing :text

-- name: blocks
select h.abonent_id, a.account_id, coalesce(a.contract_number, a.name),
       h.id, h.abonent_id, h.time_changed, h.time_del
from abonents_block_history h
left join abonents a on a.id = h.abonent_id

-- name: blocks_by_id
where h.id in (:keys)

-- name: attributes
select v.abonent_id, a.account_id, coalesce(a.contract_number, a.name),
       v.id, v.abonent_id, v.attribute_id, v.attribute_value
from attribute_values v
left join abonents a on a.id = v.abonent_id

-- name: attributes_by_id
where v.id in (:keys)

-- name: attributes_by_abonent
where v.abonent_id in (:keys)
