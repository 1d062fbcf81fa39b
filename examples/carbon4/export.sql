-- Carbon Billing 4, Firebird in CP1251. Its tables and columns are not published: these are the names of version 5, which may
-- differ from yours. `sqlexec "select rdb$field_name from rdb$relation_fields where rdb$relation_name = 'ABONENTS'"`
-- lists what is there. Money is divided by 10 000 000 000.

-- file: subscribers.csv
select
    a.contract_number,
    a.name,
    a.sms,
    a.email,
    f.name as folder_name,
    t.name as tarif_name,
    cast((c.ostatok + c.debit - c.credit) / 10000000000.00 as numeric(15, 2)) as balance,
    u.login,
    u.ip,
    u.mac
from abonents a
join admin_accounts c on c.id = a.account_id
left join abonents f on f.id = a.parent_id
left join tarif t on t.id = a.tarif_id
left join users u on u.abonent_id = a.id and u.deleted = 0
where a.is_folder = 0 and a.deleted = 0;

-- file: services.csv
select
    a.contract_number,
    s.name as usluga_name,
    x.next_date
from users_usluga x
join abonents a on a.id = x.abonent_id
join usluga s on s.id = x.usluga_id
where x.deleted = 0 and x.enabled = 1;
