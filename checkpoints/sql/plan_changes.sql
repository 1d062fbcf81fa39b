-- How two runs of the same job differ, row by row of their keys: what is new, gone, or to be done otherwise. A key that
-- stands in a run several times counts with its first item. Amounts are compared as numbers: 50.5 is 50.50.
with
    old as (select key, label, amount, payload, state, min(number) from items where run_id = :old group by key),
    new as (select key, label, amount, payload, state, min(number) from items where run_id = :new group by key),
    both as (
        select old.key as old_key, new.key as new_key, old.label as old_label, new.label as new_label,
               old.amount as old_amount, new.amount as new_amount, old.state as old_state, new.state as new_state,
               old.payload as old_payload, new.payload as new_payload,
               case when old.amount is null or new.amount is null then (old.amount is null) <> (new.amount is null)
                    else decimal_cmp(old.amount, new.amount) <> 0 end as other_amount
        from old full join new on new.key = old.key
    )
select case when old_key is null then 'new'
            when new_key is null then 'gone'
            when other_amount then 'another amount'
            when old_state <> new_state then old_state || ' before, now ' || new_state
            else 'another call' end as kind,
       coalesce(new_key, old_key), coalesce(new_label, old_label), old_amount, new_amount, old_payload, new_payload
from both
where old_key is null or new_key is null or other_amount or old_state <> new_state or old_payload <> new_payload
