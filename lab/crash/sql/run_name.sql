select name from runs where discarded_at is null order by run_id desc limit 1
