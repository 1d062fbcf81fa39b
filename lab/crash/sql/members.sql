select id, account_id from abonents
where parent_id = :folder and is_folder = 0 and deleted = 0 and account_id is not null
