select model, request, subject, what from mock_ledger order by entry
