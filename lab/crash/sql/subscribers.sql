-- Nobody who shares an account: which of two balances counts there, the operator would be asked.
select first :rows a.id, a.contract_number from abonents a
where a.is_folder = 0 and a.deleted = 0
  and not exists (select b.id from abonents b where b.account_id = a.account_id and b.id <> a.id)
order by a.id
