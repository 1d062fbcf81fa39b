-- Subscribers and their accounts. Money comes scaled by 10^10, as it is stored.

-- name: by_ids
select a.id, [a.contract_number|null], [a.name|null], [a.parent_id|null], a.is_folder, a.deleted, a.account_id
from abonents a
where a.id in (:ids)
order by a.id

-- name: by_contract_numbers
-- A number can be there twice, once deleted.
select a.id, a.contract_number, [a.name|null], [a.parent_id|null], a.is_folder, a.deleted, a.account_id
from abonents a
where a.contract_number in (:numbers)
order by a.contract_number, a.id

-- name: contract_numbers
-- All numbers that a subscriber bears, for the nearest one to a number that does not exist.
select first :size a.id, a.contract_number
from abonents a
where a.id > :after and a.is_folder = 0 and a.deleted = 0 and a.contract_number is not null
order by a.id

-- name: a_name
-- The name of any subscriber, to see whether the charset is the right one.
select first 1 a.name from abonents a where a.name is not null and a.is_folder = 0 order by a.id

-- name: in_folder
-- The subscribers of one folder, without those of the folders below it.
select first :size a.id, a.account_id, aa.limit_warning
from abonents a
left join admin_accounts aa on aa.id = a.account_id
where a.id > :after and a.parent_id = :folder and a.is_folder = 0 and a.deleted = 0
order by a.id

-- name: threshold_differs
-- Where the account's warning threshold is not the tariff's; an unset one differs from a set one. The joins are outer
-- ones so that the optimizer walks the subscribers along their key: with inner ones it begins at the tariffs and sorts
-- the whole table for every page.
select first :size a.id, a.account_id, t.users_limit_warning, aa.limit_warning
from abonents a
left join tarif t on t.id = a.tarif_id
left join admin_accounts aa on aa.id = a.account_id
where a.id > :after and a.is_folder = 0 and a.deleted = 0
  and t.id is not null and aa.id is not null
  and t.users_limit_warning is distinct from aa.limit_warning
order by a.id

-- name: threshold_differs_in_folder
select first :size a.id, a.account_id, t.users_limit_warning, aa.limit_warning
from abonents a
left join tarif t on t.id = a.tarif_id
left join admin_accounts aa on aa.id = a.account_id
where a.id > :after and a.parent_id = :folder and a.is_folder = 0 and a.deleted = 0
  and t.id is not null and aa.id is not null
  and t.users_limit_warning is distinct from aa.limit_warning
order by a.id

-- name: thresholds
select a.id, a.account_id, aa.limit_warning
from abonents a
left join admin_accounts aa on aa.id = a.account_id
where a.id in (:ids)
order by a.id

-- name: balances
select a.id, a.account_id,
       cast(coalesce(aa.ostatok, 0) + coalesce(aa.debit, 0) - coalesce(aa.credit, 0) as numeric(18, 0))
from abonents a
join admin_accounts aa on aa.id = a.account_id
where a.id in (:ids)
order by a.id
