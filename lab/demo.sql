-- Queries of the demonstration: for its file, and for its proof.

-- name: contract_numbers
-- One number of each account: where an opening balance sets the balance, a second one would replace the first.
select a.contract_number
from (
    select min(b.id) as id from abonents b where b.is_folder = 0 and b.deleted = 0 and b.account_id is not null
    group by b.account_id) first
join abonents a on a.id = first.id
order by a.id

-- name: opening_balances
select count(*), cast(sum(o.op_summa) as numeric(18, 0)) from finance_operations o where o.op_type = 8

-- name: balances
select a.contract_number, c.balance from abonents a join admin_accounts c on c.id = a.account_id
where a.is_folder = 0 and a.deleted = 0
