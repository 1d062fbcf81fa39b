-- Items of the same effect: the same key, job and target. What was skipped or refused has had no effect.
select r.name, i.key, i.amount, i.state, i.line, i.changed_at
from json_each(:keys) k
join items i on i.key = k.value
join runs r on r.run_id = i.run_id
join runs mine on mine.run_id = :run_id and r.job = mine.job and r.target = mine.target
where i.state not in ('skipped', 'rejected')
order by i.item_id
