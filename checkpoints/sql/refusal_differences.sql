-- The same of refused rows: 1 where the run refuses a row that the other does not, 0 the other way round.
with
    old as (select line, column_name, label, reason, row,
                   row_number() over (partition by line, column_name, label, reason, row order by refusal_id) as place
            from plans.refusals where run_id = :old and mended_at is null),
    new as (select line, column_name, label, reason, row,
                   row_number() over (partition by line, column_name, label, reason, row order by refusal_id) as place
            from main.refusals where run_id = :new and mended_at is null)
select new.reason is not null, coalesce(new.line, old.line), coalesce(new.label, old.label),
       coalesce(new.reason, old.reason)
from old full join new on new.line is old.line and new.column_name is old.column_name and new.label = old.label
    and new.reason = old.reason and new.row = old.row and new.place = old.place
where old.reason is null or new.reason is null
order by coalesce(new.line, old.line)
