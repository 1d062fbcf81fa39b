-- The accepted items of a run whose effect stands: none has taken it back, or what took it back was taken back itself.
select *
from items
where run_id = :run_id and number > :after and state in ('accepted', 'applied') and taken_back = 0
order by number
limit :size
