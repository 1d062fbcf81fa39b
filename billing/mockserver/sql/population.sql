-- The rows of a new mock billing.

-- name: vpn_const
insert into vpn_const (const_id, const_value) values (?, ?)

-- name: operators
insert into operators (id, name) values (?, ?)

-- name: django_users_profile
insert into django_users_profile (id, username, name, email) values (?, ?, ?, ?)

-- name: tarif
insert into tarif (id, name, users_limit_warning) values (?, ?, ?)

-- name: usluga
insert into usluga (id, name, summa, operator_id, promised) values (?, ?, ?, ?, ?)

-- name: tarif_users_usluga
insert into tarif_users_usluga (id, tarif_id, usluga_id) values (?, ?, ?)

-- name: admin_accounts
insert into admin_accounts (id, ostatok, debit, credit, "limit", limit_warning) values (?, ?, ?, ?, ?, ?)

-- name: abonents
insert into abonents
    (id, parent_id, is_folder, name, contract_number, account_id, tarif_id, operator_id, sms, email, create_date, deleted)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: users
insert into users (id, abonent_id, login, ip, mac, pull, psw, psw_hash, enabled, deleted)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: users_usluga
insert into users_usluga (id, abonent_id, usluga_id, manager_id, comment, next_date, deleted)
values (?, ?, ?, ?, ?, ?, ?)

-- name: finance_operations
insert into finance_operations (op_id, abonent_id, op_type, op_summa, op_date, descr) values (?, ?, ?, ?, ?, ?)

-- name: abonents_block_history
insert into abonents_block_history (id, abonent_id, time_changed, time_del) values (?, ?, ?, ?)

-- name: attribute_values
insert into attribute_values (id, abonent_id, attribute_id, attribute_value) values (?, ?, ?, ?)
