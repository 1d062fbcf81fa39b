-- The same of refused rows: 1 where the run refuses a row that the other does not, 0 the other way round.
with
    old as (select line, column_name, label, reason, row,
                   row_number() over (partition by line, column_name, label, reason, row order by refusal_id) as place
            from plans.refusals where run_id = :old and mended_at is null),
    new as (select line, column_name, label, reason, row,
                   row_number() over (partition by line, column_name, label, reason, row order by refusal_id) as place
            from main.refusals where run_id = :new and mended_at is null)
select 1 as is_new, line, label, reason from (select * from new except select * from old)
union all
select 0, line, label, reason from (select * from old except select * from new)
order by line, is_new
