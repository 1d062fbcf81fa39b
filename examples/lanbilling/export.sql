-- LANBilling, MySQL (the database is called billing). Tables and columns as public programs use them. A tab between columns,
-- as `mysql --batch` writes it.

-- file: subscribers.tsv
SELECT
    agreements.number,
    accounts.name,
    accounts.mobile,
    accounts.email,
    MIN(`groups`.name) AS group_name,
    MIN(tarifs.descr) AS tarif,
    ROUND(agreements.balance, 2) AS balance
FROM agreements
JOIN accounts ON accounts.uid = agreements.uid
JOIN vgroups ON vgroups.agrm_id = agreements.agrm_id AND vgroups.archive = 0
LEFT JOIN tarifs ON tarifs.tar_id = vgroups.tar_id
LEFT JOIN gr_staff ON gr_staff.vg_id = vgroups.vg_id
LEFT JOIN `groups` ON `groups`.group_id = gr_staff.group_id
WHERE agreements.archive = 0
GROUP BY agreements.agrm_id;

-- file: accounts.tsv
SELECT
    agreements.number,
    vgroups.login,
    INET_NTOA(staff.segment) AS ip,
    vgroups.blocked = 0 AS active
FROM vgroups
JOIN agreements ON agreements.agrm_id = vgroups.agrm_id
LEFT JOIN staff ON staff.vg_id = vgroups.vg_id
WHERE vgroups.archive = 0;

-- file: services.tsv
SELECT
    agreements.number,
    categories.descr
FROM usbox_services
JOIN vgroups ON vgroups.vg_id = usbox_services.vg_id AND vgroups.archive = 0
JOIN agreements ON agreements.agrm_id = vgroups.agrm_id
JOIN categories ON categories.tar_id = vgroups.tar_id AND categories.cat_idx = usbox_services.cat_idx;
