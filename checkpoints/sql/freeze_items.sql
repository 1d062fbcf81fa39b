insert into items (run_id, number, key, label, lane, payload, amount, line, row, state, message, undoes,
                   wanted, frozen_at, changed_at)
select :run_id, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
       json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
       json_extract(value, '$[6]'), json_extract(value, '$[7]'), json_extract(value, '$[8]'),
       json_extract(value, '$[9]'), json_extract(value, '$[10]'),
       json_extract(value, '$[11]'), :now, :now
from json_each(:rows)
