insert into commands (run_id, given_at, who, command, answer)
values (:run_id, :now, :who, :command, :answer)
