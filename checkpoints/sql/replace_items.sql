-- Rejected items whose corrected rows are about to be frozen, by their numbers.
update items
set state = 'replaced', message = 'replaced by a corrected row: ' || coalesce(message, ''), changed_at = :now
where run_id = :run_id and state = 'rejected' and number in (select value from json_each(:numbers))
