-- Items of the same effect in all runs of a job, whatever their target: what a new run would find there.
select r.name, i.key, i.amount, i.wanted, i.state, i.line, i.changed_at, r.target
from json_each(:keys) k
join effects i on i.key = k.value
join runs r on r.run_id = i.run_id and r.job = :job
order by i.item_id
