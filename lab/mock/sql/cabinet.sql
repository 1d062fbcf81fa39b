-- The cabinet of a subscriber.

-- name: offered
-- The services of the tariff. Money is scaled by 10^10, as stored.
select u.id, u.name, u.summa
from users s
join abonents a on a.id = s.abonent_id
join tarif_users_usluga t on t.tarif_id = a.tarif_id
join usluga u on u.id = t.usluga_id
where s.id = :user
order by u.id

-- name: connected
select c.id, u.id, u.name, u.summa, c.next_date
from users s
join users_usluga c on c.abonent_id = s.abonent_id
join usluga u on u.id = c.usluga_id
where s.id = :user and c.deleted = 0 and c.enabled = 1
order by c.id

-- name: bearers_of_login
-- By login, or by the subscriber's e-mail address.
select s.id
from users s
join abonents a on a.id = s.abonent_id
where (s.login = :login or a.email = :login) and s.deleted = 0
order by s.id
