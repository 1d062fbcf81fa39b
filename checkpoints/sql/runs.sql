select run_id, name, job, parameters, target, source, source_digest, header, cursor,
       created_at, frozen_at, approved_at, discarded_at, paused_at, paused_by, format, policy, epoch
from runs
order by run_id
