curl -XPOST -d 'method1=objects.create&arg1={"abonent_id":12420,"usluga_id":240,"manager_id": 33}' http://169.254.80.82:8082/rest_api/v2/UsersUsluga/ -D -
