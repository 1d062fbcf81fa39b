-- By business key, label or number, as people write them.
select *
from items
where run_id = :run_id and (key = :word or label = :word or cast(number as text) = :word)
order by number
