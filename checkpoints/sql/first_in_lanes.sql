-- Of these lanes, the number and the key of the first item of the run in each that had or may have an effect.
select lane, min(number), key
from items
where run_id = :run_id and lane in (select value from json_each(:lanes))
  and state not in ('skipped', 'rejected', 'replaced')
group by lane
