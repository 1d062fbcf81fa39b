select model, request, subject, changed_key, what from mock_ledger order by entry
