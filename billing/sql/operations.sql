-- Finance operations. Money comes scaled by 10^10, as it is stored.

-- name: of_abonents
select f.op_id, f.abonent_id, f.op_type, f.op_summa, [f.descr|null], f.storno, [f.op_date|null]
from finance_operations f
where f.abonent_id in (:ids) and f.op_type = :type
order by f.op_id

-- name: newest
select f.abonent_id, max(f.op_id)
from finance_operations f
where f.abonent_id in (:ids)
group by f.abonent_id
