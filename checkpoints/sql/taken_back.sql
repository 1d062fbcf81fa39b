-- Whether the effect of any item of a run was taken back, and not restored since.
select exists (select 1 from items where run_id = :run_id and taken_back = 1)
