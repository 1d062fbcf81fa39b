curl "http://169.254.80.82:8082/rest_api/v2/Users/" -d 'method1=objects.get&arg1={"abonent_id":"12230"}&method2=get_or_create_dynamic_session&arg2={}'
