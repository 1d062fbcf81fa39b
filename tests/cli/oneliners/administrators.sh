curl -XPOST -d 'method1=objects.filter' http://169.254.80.82:8082/rest_api/v2/DjangoUsersProfile/ -D -
