-- Format 3: what shares an account is found by it.

-- Rows of one run that reach one account: what the run has set there before, and what an undo brings back.
create index items_by_lane on items (run_id, lane);
