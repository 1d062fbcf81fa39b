-- How the list of a run differs from that of a run in the journal that is attached as `plans`: rows of one key are held
-- against each other in their order. Both sides of each difference, in the order of the input.
with
    old as (select key, line, label, lane, amount, payload, wanted, state, message, number,
                   row_number() over (partition by key order by number) as place
            from plans.items where run_id = :old),
    new as (select key, line, label, lane, amount, payload, wanted, state, message, number,
                   row_number() over (partition by key order by number) as place
            from main.items where run_id = :new)
select json_array(old.key, old.line, old.label, old.lane, old.amount, old.payload, old.wanted, old.state, old.message),
       json_array(new.key, new.line, new.label, new.lane, new.amount, new.payload, new.wanted, new.state, new.message)
from old full join new on new.key = old.key and new.place = old.place
where old.key is null or new.key is null
   or old.line is not new.line or old.label <> new.label or old.lane <> new.lane or old.amount is not new.amount
   or old.payload <> new.payload or old.wanted is not new.wanted or old.state <> new.state
   or old.message is not new.message
order by coalesce(new.line, old.line), coalesce(new.number, old.number)
