-- How the list of a run differs from that of a run in the journal that is attached as `plans`: rows of one key are held
-- against each other in their order. Both sides of each difference, null where one list has the row not, in the order of
-- the input. Grouped, and not joined: a full join makes SQLite compare each row with each.
with
    rows as (
        select 0 as is_new, key, line, number, row_number() over (partition by key order by number) as place,
               json_array(key, line, label, lane, amount, payload, wanted, state, message) as row
        from plans.items where run_id = :old
        union all
        select 1, key, line, number, row_number() over (partition by key order by number),
               json_array(key, line, label, lane, amount, payload, wanted, state, message)
        from main.items where run_id = :new
    )
select max(case is_new when 0 then row end) as before, max(case is_new when 1 then row end) as now
from rows
group by key, place
having before is not now
order by coalesce(max(case is_new when 1 then line end), max(line)), min(number)
