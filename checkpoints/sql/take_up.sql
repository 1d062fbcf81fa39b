-- Whoever takes a run up raises its epoch: what an earlier runner still wants to write, it writes under an older one.
update runs
set epoch = epoch + 1, held_host = :host, held_process = :process, held_since = :now
where run_id = :run_id
