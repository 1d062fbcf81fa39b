-- How two runs of the same job differ, row by row of their keys: what is new, gone, or to be done otherwise. A key that
-- stands in a run several times counts with its first item.
with
    old as (select key, label, amount, payload, state, min(number) from items where run_id = :old group by key),
    new as (select key, label, amount, payload, state, min(number) from items where run_id = :new group by key)
select case when old.key is null then 'new'
            when new.key is null then 'gone'
            when old.amount is not new.amount then 'another amount'
            when old.state <> new.state then old.state || ' before, now ' || new.state
            else 'another call' end as kind,
       coalesce(new.key, old.key), coalesce(new.label, old.label), old.amount, new.amount,
       old.payload, new.payload
from old full join new on new.key = old.key
where old.key is null or new.key is null or old.amount is not new.amount or old.state <> new.state
   or old.payload <> new.payload
