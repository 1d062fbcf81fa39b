-- Queries of the crash lab on the billing of an experiment, and for the trials of jobs.

-- name: last_operation
select coalesce(max(op_id), 0) from finance_operations

-- name: entered_operations
-- Without those of a stranger.
select count(*), cast(coalesce(sum(op_summa), 0) as numeric(18, 0)) from finance_operations
where op_id > :before and (descr is null or descr not starting with 'Чужая рука')

-- name: effects
select model, request, subject, changed_key, what from mock_ledger order by entry

-- name: members
select id, account_id from abonents
where parent_id = :folder and is_folder = 0 and deleted = 0 and account_id is not null

-- name: only_owners
-- Only subscribers who do not share an account: for a shared one the operator would be asked which balance counts.
select first :rows a.id, a.id, a.id, a.contract_number from abonents a
where a.is_folder = 0 and a.deleted = 0
  and not exists (select b.id from abonents b where b.account_id = a.account_id and b.id <> a.id)
order by a.id

-- ---- the trials ----
-- Blocks of rows give the item's key, the object's id in the ledger, and the input's cells.

-- name: subscribers
select first :rows a.id, a.id, a.id from abonents a where a.is_folder = 0 and a.deleted = 0 order by a.id

-- name: owners
-- One subscriber of each account: of several balances of one account only the last would count.
select first :rows a.id, a.id, a.id
from (
    select min(b.id) as id from abonents b where b.is_folder = 0 and b.deleted = 0 and b.account_id is not null
    group by b.account_id) o
join abonents a on a.id = o.id
order by a.id

-- name: accounts
select first :rows a.id, a.account_id, a.id from abonents a
where a.is_folder = 0 and a.deleted = 0
  and not exists (select b.id from abonents b where b.account_id = a.account_id and b.id <> a.id)
order by a.id

-- name: users
select first :rows u.id, u.id, u.id from users u join abonents a on a.id = u.abonent_id
where u.deleted = 0 and a.deleted = 0 order by u.id

-- name: logins
select first :rows u.login || '/http://lk.example.org/', u.id, u.login from users u join abonents a on a.id = u.abonent_id
where u.deleted = 0 and a.deleted = 0 order by u.id

-- name: other_operator
select first :rows a.id, a.id, a.id, iif(a.operator_id = 3, 1444, 3) from abonents a
where a.is_folder = 0 and a.deleted = 0 order by a.id

-- name: other_tariff
select first :rows a.id, a.id, a.id, mod(a.tarif_id, 6) + 1 from abonents a
where a.is_folder = 0 and a.deleted = 0 order by a.id

-- name: more_blocks
insert into abonents_block_history (id, abonent_id)
select first :rows 500000 + a.id, a.id from abonents a where a.is_folder = 0 and a.deleted = 0 order by a.id

-- name: block_entries
select first :rows h.id, h.id, h.id from abonents_block_history h where h.id > 500000 order by h.id

-- name: more_services
insert into usluga (id, name, summa, operator_id, promised)
select first :rows 500000 + a.id, 'Услуга', 0, 3, 0 from abonents a
where a.is_folder = 0 and a.deleted = 0 order by a.id

-- name: services
select first :rows s.id, s.id, s.id, 1444 from usluga s where s.id > 500000 order by s.id

-- name: connected
select first :rows c.id, c.id, c.id from users_usluga c where c.deleted = 0 order by c.id

-- name: connected_by_both
select first :rows c.abonent_id || '/' || c.usluga_id, c.id, c.abonent_id, c.usluga_id
from users_usluga c where c.deleted = 0 order by c.id

-- name: operations
select first :rows o.op_id, o.op_id, o.op_id from finance_operations o order by o.op_id

-- ---- imports ----

-- name: folders
select a.id, a.parent_id, a.name from abonents a where a.is_folder = 1 and a.deleted = 0 order by a.id

-- name: held
-- What each subscriber with an id above :last has, as the steps of an import: its number, the step and its detail, and
-- the value as a text or as money. Of a subscriber the detail is its folder; `money` is the balance of its account.
with new as (
    select a.id, cast(a.contract_number as varchar(64)) as number, a.parent_id, a.operator_id, a.name, a.tarif_id,
        a.account_id
    from abonents a where a.id > :last and a.is_folder = 0 and a.deleted = 0)
select n.number, cast('subscriber' as varchar(20)), cast(n.parent_id as varchar(64)),
    cast(n.name || '; {folder}; ' || n.operator_id as varchar(400)), cast(null as numeric(18, 0))
from new n
union all
select n.number, 'tariff', null, n.tarif_id, null from new n where n.tarif_id is not null
union all
select n.number, 'threshold', null, null, aa.limit_warning
from new n join admin_accounts aa on aa.id = n.account_id where aa.limit_warning is not null
union all
select n.number, 'limit', null, null, aa."limit"
from new n join admin_accounts aa on aa.id = n.account_id where aa."limit" is not null
union all
select n.number, 'money', null, null, aa.ostatok + aa.debit - aa.credit
from new n join admin_accounts aa on aa.id = n.account_id
union all
select n.number, 'account', u.login, coalesce(u.mac, ''), null
from new n join users u on u.abonent_id = n.id where u.deleted = 0
union all
select n.number, 'service', c.usluga_id, c.usluga_id, null
from new n join users_usluga c on c.abonent_id = n.id where c.deleted = 0
union all
select n.number, 'attribute', v.attribute_id, v.attribute_value, null
from new n join attribute_values v on v.abonent_id = n.id
union all
-- Opening balances, and any other operation that counts.
select n.number, iif(o.op_type = 8, 'balance', 'operation'), iif(o.op_type = 8, null, o.op_type), null, o.op_summa
from new n join finance_operations o on o.abonent_id = n.id where o.storno = 0

-- name: orphans
-- What belongs to a subscriber that is not there, or is deleted, by table.
select 'users', count(*) from users u
where u.deleted = 0 and not exists (select a.id from abonents a where a.id = u.abonent_id and a.deleted = 0)
union all
select 'users_usluga', count(*) from users_usluga c
where c.deleted = 0 and not exists (select a.id from abonents a where a.id = c.abonent_id and a.deleted = 0)
union all
select 'abonents', count(*) from abonents b
where b.deleted = 0 and b.parent_id is not null and not exists
    (select a.id from abonents a where a.id = b.parent_id and a.is_folder = 1 and a.deleted = 0)

-- name: last_abonent
select coalesce(max(id), 0) from abonents

-- ---- strangers ----

-- name: owners_of
-- The subscriber of each object, by its model.
select 'AdminAccounts', a.account_id, min(a.id) from abonents a where a.account_id is not null group by a.account_id
union all select 'Users', u.id, u.abonent_id from users u
union all select 'UsersUsluga', c.id, c.abonent_id from users_usluga c
union all select 'FinanceOperations', o.op_id, o.abonent_id from finance_operations o
union all select 'AbonentsBlockHistory', h.id, h.abonent_id from abonents_block_history h

-- name: live_owners
-- Subscribers with accounts, of which the rows take the first ones. Nobody can enter anything for others.
select a.id from abonents a where a.is_folder = 0 and a.deleted = 0 and a.account_id is not null order by a.id desc

-- name: stranger_creates_abonents
-- The ids of strangers' subscribers are below those of an import, and are no other ones.
insert into abonents (id, name, contract_number, parent_id, operator_id, sms, email, is_folder)
select coalesce(max(a.id), 199) + 1, cast(:name as varchar(255)), cast(:number as varchar(64)),
    cast(:parent as integer), cast(:operator as integer), cast(:sms as varchar(32)), cast(:email as varchar(120)), 0
from abonents a where a.id between 200 and 999

-- name: stranger_creates_users
insert into users (id, abonent_id, login)
select gen_id(gen_users_id, 1), a.id, cast(:login as varchar(64)) from abonents a
where a.contract_number = :number and a.id between 200 and 999

-- name: stranger_takes_number
update abonents set contract_number = (select a.contract_number from abonents a where a.id = :abonent) where id = :other

-- name: stranger_renumbers
update abonents set contract_number = contract_number || '-' where id = :abonent

-- name: stranger_merges
update abonents set account_id = (select a.account_id from abonents a where a.id = :other) where id = :abonent

-- name: stranger_deletes_abonents
update abonents set deleted = 1 where id = :object

-- name: stranger_deletes_users
update users set deleted = 1 where id = :object

-- name: stranger_deletes_users_usluga
update users_usluga set deleted = 1 where id = :object

-- name: stranger_has
-- What a stranger has created and still stands: operations, services, subscribers and their accounts.
select
    (select count(*) from finance_operations o where o.descr starting with cast(:name as varchar(20)) and o.storno = 0)
    + (select count(*) from users_usluga c where c.comment starting with cast(:name as varchar(20)) and c.deleted = 0)
    + (select count(*) from abonents a where a.id between 200 and 999 and a.deleted = 0)
    + (select count(*) from users u where u.abonent_id between 200 and 999 and u.deleted = 0)
from rdb$database

-- name: stranger_leaves_users
delete from users where abonent_id between 200 and 999

-- name: stranger_leaves_abonents
delete from abonents where id between 200 and 999
