-- How two runs of the same job differ, row by row of their keys: what is new, gone, or to be done otherwise. A key that
-- stands in a run several times counts with its first item. Amounts are compared as numbers: 50.5 is 50.50.
with
    rows as (
        select 0 as is_new, key, label, amount, payload, state, min(number)
        from items where run_id = :old group by key
        union all
        select 1, key, label, amount, payload, state, min(number)
        from items where run_id = :new group by key
    ),
    sides as (
        -- Grouped, and not joined: a full join makes SQLite compare each row with each.
        select max(case is_new when 0 then key end) as old_key, max(case is_new when 1 then key end) as new_key,
               max(case is_new when 0 then label end) as old_label, max(case is_new when 1 then label end) as new_label,
               max(case is_new when 0 then amount end) as old_amount,
               max(case is_new when 1 then amount end) as new_amount,
               max(case is_new when 0 then state end) as old_state, max(case is_new when 1 then state end) as new_state,
               max(case is_new when 0 then payload end) as old_payload,
               max(case is_new when 1 then payload end) as new_payload
        from rows group by key
    ),
    both as (
        select *, case when old_amount is null or new_amount is null then (old_amount is null) <> (new_amount is null)
                       else decimal_cmp(old_amount, new_amount) <> 0 end as other_amount
        from sides
    )
select case when old_key is null then 'new'
            when new_key is null then 'gone'
            when other_amount then 'another amount'
            when old_state <> new_state then old_state || ' before, now ' || new_state
            else 'another call' end as kind,
       coalesce(new_key, old_key), coalesce(new_label, old_label), old_amount, new_amount, old_payload, new_payload
from both
where old_key is null or new_key is null or other_amount or old_state <> new_state or old_payload <> new_payload
