-- What subscribers and accounts have that no other may have, page by page along the id, deleted ones too; and the
-- ranges of pools, whose table is not documented [?].

-- name: numbers
select first :size a.id, a.contract_number, a.deleted
from abonents a
where a.id > :after and a.is_folder = 0 and a.contract_number is not null
order by a.id

-- name: accounts
select first :size u.id, u.login, [u.ip|null], u.deleted, u.abonent_id, [a.contract_number|null]
from users u
left join abonents a on a.id = u.abonent_id
where u.id > :after
order by u.id

-- name: pools
select p.id, p.first_ip, p.last_ip
from ip_pulls p
where p.first_ip is not null and p.last_ip is not null [and p.deleted = 0]
