select a.id, c.limit_warning from abonents a join admin_accounts c on c.id = a.account_id where a.parent_id = :folder
