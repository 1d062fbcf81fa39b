select run_id, held_process from runs where name = :run
