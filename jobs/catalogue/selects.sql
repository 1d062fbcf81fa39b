-- The selects of the catalogue's jobs. The first column is the key for paging, and each column has the name of the
-- value that the call needs. Outer joins make the optimizer walk along the key: with inner joins it may begin with
-- another table and sort the whole result for every page. A part in brackets is left out if the billing lacks its
-- columns.

-- name: of_operator
select a.id as abonent_id[, a.contract_number], a.operator_id as operator_was
from abonents a
where a.operator_id = :from and a.is_folder = 0 and a.deleted = 0

-- name: of_folder
select a.id as abonent_id[, a.contract_number]
from abonents a
where a.parent_id = :folder and a.is_folder = 0 and a.deleted = 0

-- name: tariff_thresholds
-- First in kopecks: dividing scaled integers by a decimal would overflow for large sums.
select a.id as abonent_id, cast(t.users_limit_warning / 100000000 as bigint) * 0.01 as amount[, a.contract_number]
from abonents a
left join tarif t on t.id = a.tarif_id
left join admin_accounts aa on aa.id = a.account_id
where a.is_folder = 0 and a.deleted = 0
  and t.users_limit_warning is not null and aa.id is not null
  and t.users_limit_warning is distinct from aa.limit_warning

-- name: tariff_sums
select a.id as abonent_id,
       cast((select sum(u.summa) from tarif_users_usluga tu join usluga u on u.id = tu.usluga_id
             where tu.tarif_id = a.tarif_id) / 100000000 as bigint) * 0.01 + 1 as amount[,
       a.contract_number]
from abonents a
where a.parent_id = :folder and a.is_folder = 0 and a.deleted = 0

-- name: users_of_folder
select u.id as user_id[, u.login as account]
from users u
left join abonents a on a.id = u.abonent_id
where a.parent_id = :folder and a.is_folder = 0 and a.deleted = 0 and u.deleted = 0

-- name: services_by_comment
-- The vendor's own select [S], without deleted services.
select c.id as id, c.abonent_id, c.usluga_id, c.comment[, a.contract_number]
from users_usluga c
left join abonents a on a.id = c.abonent_id
where c.comment like :comment and c.deleted = 0

-- name: blocked
-- A block without an end is open. A balance below the cut-off limit counts as a block too [?].
select u.id as user_id[, u.login as account], a.id as abonent_id[, a.contract_number as contract_number]
from users u
left join abonents a on a.id = u.abonent_id
left join admin_accounts aa on aa.id = a.account_id
where u.deleted = 0 and a.is_folder = 0 and a.deleted = 0
  and (coalesce(aa.ostatok, 0) + coalesce(aa.debit, 0) - coalesce(aa.credit, 0) < coalesce(aa."limit", 0)
       or exists (select h.id from abonents_block_history h where h.abonent_id = a.id and h.time_del is null))
