insert into runs (name, job, parameters, target, source, source_digest, header, created_at)
values (:name, :job, :parameters, :target, :source, :source_digest, :header, :now)
