-- At start nobody knows what became of a call that was under way.
update items
set state = 'unknown', message = 'the process ended while this was being sent', changed_at = :now
where run_id = :run_id and state = 'sending'
