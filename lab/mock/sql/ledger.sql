-- The ledger: which request changed what.

-- name: last_request
select coalesce(max(request), 0) from mock_ledger

-- name: enter
insert into mock_ledger
    (entry, request, happened, model, methods, changed_table, changed_key, subject, what)
values
    (gen_id(gen_mock_ledger_id, 1), :request, :happened, :model, :methods, :changed_table, :changed_key, :subject, :what)

-- name: totals
select model, count(*), count(distinct subject) from mock_ledger group by model order by model

-- name: effects
select subject, count(*) from mock_ledger where model = :model group by subject order by subject

-- name: by_subject
-- The effects after a subject of a model, grouped by subject.
select model, subject, changed_key, request from mock_ledger
where model > :model or (model = :model and subject > :subject)
order by model, subject, entry
