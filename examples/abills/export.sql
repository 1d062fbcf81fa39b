-- ABillS, MySQL. Tables and columns are those of its db/abills.sql, db/Internet.sql and db/Abon.sql. `secretkey` is
-- $conf{secretkey} of its config.pl.

-- file: subscribers.csv
SELECT
    pi.contract_id,
    pi.fio,
    pi.phone,
    pi.email,
    g.name AS group_name,
    pi.address_build,
    pi.pasport_num,
    u.id AS login,
    DECODE(u.password, 'secretkey') AS password,
    INET_NTOA(i.ip) AS ip,
    i.cid,
    tp.name AS tp_name,
    ROUND(b.deposit, 2) AS deposit
FROM users u
JOIN users_pi pi ON pi.uid = u.uid
JOIN bills b ON b.id = u.bill_id
LEFT JOIN `groups` g ON g.gid = u.gid
LEFT JOIN internet_main i ON i.uid = u.uid
LEFT JOIN tarif_plans tp ON tp.tp_id = i.tp_id
WHERE u.deleted = 0;

-- file: services.csv
SELECT
    pi.contract_id,
    t.name,
    l.comments
FROM abon_user_list l
JOIN abon_tariffs t ON t.id = l.tp_id
JOIN users_pi pi ON pi.uid = l.uid;
