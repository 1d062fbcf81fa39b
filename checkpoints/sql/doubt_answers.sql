-- Rows that were accepted by an answer of which nobody can tell any more whose it is.
update items
set state = 'unknown', message = :why, changed_at = :now
-- The plus keeps SQLite from going through all items of the run to find these few.
where +run_id = :run_id and state = 'accepted' and item_id in (select value from json_each(:ids))
returning item_id
