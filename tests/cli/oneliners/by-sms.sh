curl -XPOST -d 'method1=objects.filter&arg1={"sms":"'%2B'71234567899"}' http://169.254.80.82:8082/rest_api/v2/Abonents/ -D -
