update items
set state = 'sending', attempts = attempts + 1, sent_at = :now, changed_at = :now
-- The plus keeps SQLite from going through all items of the run to find these few.
where +run_id = :run_id and item_id in (select value from json_each(:ids))
