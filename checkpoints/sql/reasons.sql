-- What the items of one state have to say, the commonest first. The kind is the text before the first colon. Beside a
-- single min(), SQLite takes the other columns from its row: line, label and example are of the first item. What went
-- well has mostly nothing to say, and is passed over then.
select kind, items, amount, line, label, example
from (
    select case when instr(message, ':') > 0 then substr(message, 1, instr(message, ':') - 1) else message end as kind,
           count(*) as items, decimal_sum(amount) as amount, min(number) as first, line, label, message as example
    from items
    where run_id = :run_id and state = :state and (message is not null or state not in ('accepted', 'applied'))
    group by kind
)
order by items desc, first
limit :size
