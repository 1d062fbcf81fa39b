-- Who has taken a run up since the epoch of whoever asks; no row where nobody has.
select held_host, held_process, held_since from runs where run_id = :run_id and epoch <> :epoch
