-- Rules of the billing when objects are created and saved.

-- name: abonent
select [a.is_folder|0], [a.deleted|0], [a.account_id|null] from abonents a where a.id = :id

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

-- name: new_account
insert into admin_accounts (id) values (:id)

-- name: bearers_of_number
select count(*) from abonents a where a.contract_number = :value [and a.deleted = 0] and a.id <> :id

-- name: bearers_of_number_ever
select count(*) from abonents a where a.contract_number = :value and a.id <> :id

-- name: bearers_of_login
select count(*) from users u where u.login = :value [and u.deleted = 0] and u.id <> :id

-- name: bearers_of_login_ever
select count(*) from users u where u.login = :value and u.id <> :id

-- name: bearers_of_address
select count(*) from users u where u.ip = :ip [and u.deleted = 0] and u.id <> :id

-- name: pool
select p.first_ip, p.last_ip from ip_pulls p where p.id = :id

-- name: is_folder
select [a.is_folder|0] from abonents a where a.id = :id

-- name: parent
select [a.parent_id|null] from abonents a where a.id = :id

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
