insert into runs (name, job, parameters, target, source, source_digest, header, policy, created_at)
values (:name, :job, :parameters, :target, :source, :source_digest, :header, :policy, :now)
