curl "http://169.254.80.82:8082/rest_api/v2/Users/" -d 'method1=get_user_by_suid&arg1={"suid": "144997776676316356"}'
