-- UTM5 (NetUP), MySQL. Tables and columns as public programs use them; ip_groups.uname, upass and mac are from memory of
-- its schema: look at yours. Write each result as CSV with a header, for instance from a graphical client in CP1251.

-- file: subscribers.csv
SELECT
    u.basic_account,
    u.full_name,
    u.mobile_telephone,
    u.email,
    h.city,
    h.street,
    h.number AS house,
    u.flat_number,
    t.name AS tariff,
    ROUND(a.balance, 2) AS balance
FROM users u
JOIN accounts a ON a.id = u.basic_account AND a.is_deleted = 0
LEFT JOIN houses h ON h.id = u.house_id
LEFT JOIN account_tariff_link l ON l.account_id = a.id AND l.is_deleted = 0
LEFT JOIN tariffs t ON t.id = l.tariff_id
WHERE u.is_deleted = 0;

-- file: accounts.csv
SELECT
    s.account_id AS basic_account,
    g.uname,
    g.upass,
    INET_NTOA(g.ip) AS ip,
    g.mac
FROM service_links s
JOIN iptraffic_service_links i ON i.id = s.id AND i.is_deleted = 0
JOIN ip_groups g ON g.ip_group_id = i.ip_group_id AND g.is_deleted = 0
WHERE s.is_deleted = 0;

-- file: services.csv
SELECT
    s.account_id AS basic_account,
    d.service_name
FROM service_links s
JOIN services_data d ON d.id = s.service_id
WHERE s.is_deleted = 0 AND NOT EXISTS (SELECT 1 FROM iptraffic_service_links i WHERE i.id = s.id);
