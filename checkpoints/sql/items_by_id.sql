select * from items where item_id in (select value from json_each(:ids)) order by number
