select first :rows id, contract_number from abonents where is_folder = 0 and deleted = 0 order by id
