-- The rows of a new mock billing.

-- name: columns
-- The columns of a billing, without Firebird's own tables.
select trim(r.rdb$relation_name), trim(r.rdb$field_name) from rdb$relation_fields r
where r.rdb$system_flag = 0 or r.rdb$system_flag is null

-- name: lengths
-- The number of characters that each column of texts holds.
select r.rdb$relation_name, r.rdb$field_name, f.rdb$character_length
from rdb$relation_fields r join rdb$fields f on f.rdb$field_name = r.rdb$field_source
where (r.rdb$system_flag = 0 or r.rdb$system_flag is null) and f.rdb$character_length is not null

-- name: constraints_on
-- The constraints on a column.
select trim(c.rdb$constraint_name)
from rdb$relation_constraints c
join rdb$index_segments s on s.rdb$index_name = c.rdb$index_name
where c.rdb$relation_name = :table and s.rdb$field_name = :column
  and c.rdb$constraint_type in ('FOREIGN KEY', 'PRIMARY KEY', 'UNIQUE')
order by iif(c.rdb$constraint_type = 'FOREIGN KEY', 0, 1)

-- name: constraints_to
-- The foreign keys of other tables on a column, or on any column of a table, each with its table.
select trim(c.rdb$relation_name), trim(c.rdb$constraint_name)
from rdb$ref_constraints r
join rdb$relation_constraints c on c.rdb$constraint_name = r.rdb$constraint_name
join rdb$relation_constraints u on u.rdb$constraint_name = r.rdb$const_name_uq
where u.rdb$relation_name = :table

-- name: indexes_on
-- The indexes of a column without those of constraints.
select trim(i.rdb$index_name)
from rdb$indices i
join rdb$index_segments s on s.rdb$index_name = i.rdb$index_name
where i.rdb$relation_name = :table and s.rdb$field_name = :column
  and not exists (select c.rdb$index_name from rdb$relation_constraints c where c.rdb$index_name = i.rdb$index_name)

-- name: key_of
-- The key columns of a table.
select trim(s.rdb$field_name)
from rdb$relation_constraints c
join rdb$index_segments s on s.rdb$index_name = c.rdb$index_name
where c.rdb$relation_name = :table and c.rdb$constraint_type = 'PRIMARY KEY'

-- name: vpn_const
insert into vpn_const (const_id, const_value) values (?, ?)

-- name: operators
insert into operators (id, name) values (?, ?)

-- name: django_users_profile
insert into django_users_profile (id, username, name, email) values (?, ?, ?, ?)

-- name: tarif
insert into tarif (id, name, users_limit_warning) values (?, ?, ?)

-- name: ip_pulls
insert into ip_pulls (id, name, first_ip, last_ip) values (?, ?, ?, ?)

-- name: attributes
insert into attributes (id, name) values (?, ?)

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
