-- Refused rows of a run by their id, or by their line where no id is given; the oldest that was not corrected first.
select refusal_id, mended_at is not null
from refusals
where run_id = :run_id and (refusal_id = :refusal_id or (:refusal_id is null and line = :line))
order by mended_at is not null, refusal_id
