-- What a mock billing holds of its subscribers: those after an id, in the order of their ids. What is deleted is left out.

-- name: subscribers
select
    a.id, a.contract_number, a.name, a.parent_id, [a.tarif_id|null], [a.operator_id|null],
    aa.ostatok + aa.debit - aa.credit, [aa."limit"|null], [aa.limit_warning|null]
from abonents a
left join admin_accounts aa on aa.id = a.account_id
where a.id > :after and a.is_folder = 0 [and a.deleted = 0]
order by a.id

-- name: accounts
select u.abonent_id, u.login, [u.mac|null] from users u
where u.abonent_id > :after [and u.deleted = 0] order by u.abonent_id, u.id

-- name: services
select c.abonent_id, c.usluga_id from users_usluga c
where c.abonent_id > :after [and c.deleted = 0] order by c.abonent_id, c.id

-- name: attributes
select v.abonent_id, v.attribute_id, v.attribute_value from attribute_values v
where v.abonent_id > :after order by v.abonent_id, v.id

-- name: operations
-- Operations that count.
select o.abonent_id, o.op_type, o.op_summa from finance_operations o
where o.abonent_id > :after [and o.storno = 0] order by o.abonent_id, o.op_id

-- name: folders
select a.id, a.parent_id, a.name from abonents a where a.is_folder = 1 [and a.deleted = 0] order by a.id

-- name: orphans
-- What belongs to a subscriber that is not there, or is deleted, by table.
select 'users', count(*) from users u
where [u.deleted = 0 and] not exists (select a.id from abonents a where a.id = u.abonent_id [and a.deleted = 0])
union all
select 'users_usluga', count(*) from users_usluga c
where [c.deleted = 0 and] not exists (select a.id from abonents a where a.id = c.abonent_id [and a.deleted = 0])
union all
select 'abonents', count(*) from abonents b
where [b.deleted = 0 and] b.parent_id is not null and not exists
    (select a.id from abonents a where a.id = b.parent_id and a.is_folder = 1 [and a.deleted = 0])
