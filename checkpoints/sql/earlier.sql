-- Items of the same effect in all runs of a job on a target: what a new run would find there.
select r.name, i.key, i.amount, i.state, i.line, i.changed_at
from json_each(:keys) k
join effects i on i.key = k.value
join runs r on r.run_id = i.run_id and r.job = :job and r.target = :target
order by i.item_id
