select i.number, i.label, d.state, d.who, d.why, d.decided_at
from decisions d
join items i on i.item_id = d.item_id
where i.run_id = :run_id
order by d.decision_id
