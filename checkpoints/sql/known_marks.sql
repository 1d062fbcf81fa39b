-- Of these marks, each a run's name and a number in it, those whose items are in this journal.
select r.name, i.number, r.target, i.state
from json_each(:marks) m
join runs r on r.name = json_extract(m.value, '$[0]')
join items i on i.run_id = r.run_id and i.number = json_extract(m.value, '$[1]')
