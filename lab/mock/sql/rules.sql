-- Rules of the billing when objects are created and saved.

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
