-- Items of the same effect: the same key and job; `target` tells which are of another address.
select r.name, i.key, i.amount, i.wanted, i.state, i.line, i.changed_at, r.target
from json_each(:keys) k
join effects i on i.key = k.value
join runs r on r.run_id = i.run_id
join runs mine on mine.run_id = :run_id and r.job = mine.job
order by i.item_id
