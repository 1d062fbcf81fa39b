select state, count(*) from items i join runs r on r.run_id = i.run_id where r.discarded_at is null group by state
