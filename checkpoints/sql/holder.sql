-- Who has taken a run up last. Whether it still works on it, only the lock on the journal's file tells.
select held_host, held_process, held_since from runs where run_id = :run_id
