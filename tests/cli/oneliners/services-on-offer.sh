curl "http://169.254.80.82:8082/rest_api/v2/Users/" -d 'method1=web_cabinet.get_usluga_list&arg1={"suid":"144997776676316356","get_user_uslugas_all":1}'
