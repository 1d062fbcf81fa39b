-- What the billing itself does when objects are created and saved.

-- name: abonent
select a.is_folder, a.deleted, a.account_id from abonents a where a.id = :id

-- name: set_balance
-- The balance is ostatok + debit - credit: what came and went stays as it is.
update admin_accounts set ostatok = :summa - debit + credit where id = :account

-- name: add_to_balance
update admin_accounts set ostatok = ostatok + :summa where id = :account

-- name: add_receipt
update admin_accounts set debit = debit + :summa where id = :account

-- name: add_act
update admin_accounts set credit = credit + :summa where id = :account

-- name: bearers_of_number
select count(*) from abonents where contract_number = :number and deleted = 0 and id <> :id

-- name: next_address
select max(ip) + 1 from users
