curl -XPOST -d 'method1=objects.get&arg1={"id":6242}&method2=delete&arg2={"clean_links": true}'' http://169.254.80.82:8082/rest_api/v2/Users/ -D -
