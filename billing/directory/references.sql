-- The ids that exist, of each kind of reference. `…_in_use` find ids that objects refer to: such an id exists, but an
-- id that is not in use may exist as well.

-- name: tariffs
select t.id from tarif t where t.id in (:keys) [and t.deleted = 0]

-- name: services
select s.id from usluga s where s.id in (:keys) [and s.deleted = 0]

-- name: folders
select a.id from abonents a where a.id in (:keys) and a.is_folder = 1 [and a.deleted = 0]

-- name: operators
select o.id from operators o where o.id in (:keys) [and o.deleted = 0]

-- name: operators_in_use
select distinct a.operator_id from abonents a where a.operator_id in (:keys) [and a.deleted = 0]

-- name: administrators
select p.id from django_users_profile p where p.id in (:keys) [and p.deleted = 0]

-- name: administrators_in_use
select distinct c.manager_id from users_usluga c where c.manager_id in (:keys) [and c.deleted = 0]

-- name: attributes_in_use
select distinct v.attribute_id from attribute_values v where v.attribute_id in (:keys)

-- name: pools_in_use
select distinct u.pull from users u where u.pull in (:keys) [and u.deleted = 0]

-- name: snat_pools_in_use
select distinct u.snat_pull from users u where u.snat_pull in (:keys) [and u.deleted = 0]
