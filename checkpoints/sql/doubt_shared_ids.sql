-- Rows of a run that have the id of one new object for their answer: one of them has created it, and which, the answers
-- do not tell. `answer glob` is the condition of the index.
update items
set state = 'unknown', changed_at = :now,
    message = 'another row of this run has the same answer, ' || answer || ': of one of the two it is not its own'
where state = 'accepted' and item_id in (
    select one.item_id
    from json_each(:ids) mine
    join items own on own.item_id = mine.value
    join items one on one.run_id = own.run_id and one.answer = own.answer and one.answer glob '[0-9]*'
    where exists (
        select 1 from items other
        where other.run_id = own.run_id and other.answer = own.answer and other.answer glob '[0-9]*'
          and other.item_id <> one.item_id and other.state in ('accepted', 'applied', 'unknown', 'manual')
    )
)
returning item_id
