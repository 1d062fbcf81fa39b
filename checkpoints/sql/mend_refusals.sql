-- Refused rows of the input whose corrected rows are about to be frozen, by their ids.
update refusals
set mended_at = :now
where run_id = :run_id and mended_at is null and refusal_id in (select value from json_each(:ids))
