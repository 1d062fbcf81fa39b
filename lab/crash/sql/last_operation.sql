select coalesce(max(op_id), 0) from finance_operations
