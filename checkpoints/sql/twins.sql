-- Items of the same effect: the same key, job and target.
select r.name, i.key, i.amount, i.state, i.line, i.changed_at
from json_each(:keys) k
join effects i on i.key = k.value
join runs r on r.run_id = i.run_id
join runs mine on mine.run_id = :run_id and r.job = mine.job and r.target = mine.target
order by i.item_id
