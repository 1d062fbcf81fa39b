curl -XPOST -d 'method1=objects.get&arg1={"id":"105"}&method2=set&arg2{"operator_id":"3"}&method3=save&arg3={}' 'http://169.254.80.82:8082/rest_api/v2/Usluga/' -D -
