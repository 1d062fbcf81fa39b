select count(*), cast(coalesce(sum(op_summa), 0) as numeric(18, 0)) from finance_operations where op_id > :before
