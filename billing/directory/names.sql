-- What has a name in the billing, of each kind of reference: id, name, another name, whether it is deleted, the
-- folder that it lies in. Tables of operators, administrators, pools and attributes are not documented [?].

-- name: tariffs
select t.id, t.name, null, [t.deleted|0], null from tarif t

-- name: services
select s.id, s.name, null, [s.deleted|0], null from usluga s

-- name: folders
select a.id, a.name, null, [a.deleted|0], a.parent_id from abonents a where a.is_folder = 1

-- name: operators
select o.id, o.name, null, [o.deleted|0], null from operators o

-- name: administrators
select p.id, [p.name|p.username], [p.username|null], [p.deleted|0], null from django_users_profile p

-- name: attributes
select t.id, t.name, null, [t.deleted|0], null from attributes t

-- name: pools
select p.id, p.name, null, [p.deleted|0], null from ip_pulls p
