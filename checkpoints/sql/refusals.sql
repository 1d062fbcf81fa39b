select refusal_id, line, column_name, label, reason, row
from refusals
where run_id = :run_id and mended_at is null and refusal_id > :after
order by refusal_id
limit :size
