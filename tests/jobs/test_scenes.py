"""Rows of any job on the mock billing: their list, what others have there, and what is found and taken back since.

One table, and one driver: the list, what looks the same, the calls, what somebody does then, and what a look, a
reading and an undo say of it.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec
import pytest

from billing.money import SCALE
from checkpoints.records import Item, NewItem
from checkpoints.states import State
from engine.job import Absent, CannotLook, Different, Entries, Found, LookUpResult
from jobs.access.gateway import Gateway
from jobs.access.payload import decode_payload
from jobs.catalogue.catalogue import BUILT_IN
from jobs.catalogue.typed_call import CALL
from jobs.effects.effect import CallEffect
from jobs.rows.input import Input
from jobs.spec.chain import chain_text
from tests.checkpoints.samples import sending_item
from tests.jobs.catalogue.months import first_of
from tests.jobs.conftest import FOLDER, Execute
from tests.jobs.making import effect_of, job_of, prepared, readings, rows_of, sent, sightings, undone

Scene: TypeAlias = Mapping[str, list[str]]

SCENES: Final = """
by id
  run balances
  rows abonent_id;amount;note / 9001;50,5;x / 9002; 1 200 ;y / 9003;-0;z
  item 9001/8 00123 account:9001 9001 50.50 8 Миграция балансов
  item 9002/8 123 account:9002 9002 1200.00 8 Миграция балансов
  item 9003/8 A15 account:9003 9003 0.00 8 Миграция балансов
contract numbers are texts
  run balances descr=x
  rows  Contract_Number ,AMOUNT / 00123,1 / 123,2 / A15,3 / 77/2,4 / ВТОРОЙ,5
  item 9001/8 00123 account:9001 9001 1.00 8 x
  item 9002/8 123 account:9002 9002 2.00 8 x
  item 9003/8 A15 account:9003 9003 3.00 8 x
  item 9010/8 77/2 account:9010 9010 4.00 8 x
  item 9008/8 ВТОРОЙ account:9001 9008 5.00 8 x
numbers that name nobody usable
  run balances
  rows contract_number;op_summa / ;1 / ДУБЛЬ;1 / ГОСТЬ-1;1 / БЕЗСЧЁТА;1
  bad 2 contract_number: the cell is empty
  bad 3 contract_number: several subscribers have the contract number 'ДУБЛЬ': abonent 9004 (Иванов), abonent 9005
      (Иванов); tell them apart by abonent_id
  bad 4 contract_number: abonent 9006 is deleted
  bad 5 contract_number: abonent 9007 has no account
ids that name nobody usable
  run balances
  rows abonent_id;amount / ;1 / 9100;1 / 9006;1 / 9007;1 / 8999;1 / 99999999999;1 / 00123;1 / 12a;1 / 0;1
  bad 2 abonent_id: the cell is empty
  bad 3 abonent_id: abonent 9100 is a folder (Странные), no subscriber
  bad 4 abonent_id: abonent 9006 is deleted
  bad 5 abonent_id: abonent 9007 has no account
  bad 6 abonent_id: there is no abonent 8999
  bad 7 abonent_id: there is no abonent 99999999999
  bad 8 abonent_id: '00123' is not an id, for it starts with a zero; is it a contract number?
  bad 9 abonent_id: '12a' is not an id: a whole number is expected
  bad 10 abonent_id: '0' is not an id, for it starts with a zero; is it a contract number?
bad amounts have line, column and character
  run balances
  rows abonent_id;Amount / 9001; / 9002;12O / 9003;5.5555 / 9010;  5.5555
  bad 2 Amount: the cell is empty
  bad 3 Amount: '12O' (column 2): character 3 is the Latin letter 'O', which looks like a zero
  bad 4 Amount: '5.5555' (column 2): 5.5555 has 4 decimals; the billing's kopecks take 2
  bad 5 Amount: '5.5555' (column 2): 5.5555 has 4 decimals; the billing's kopecks take 2
of two keys the id is used and the number checked
  run balances descr=x
  rows contract_number;abonent_id;amount / 00123;9001;1 / ;9002;1 / 123;9003;1
  item 9001/8 00123 account:9001 9001 1.00 8 x
  item 9002/8 123 account:9002 9002 1.00 8 x
  bad 4 contract_number: abonent 9003 has the contract number 'A15', this column says '123'
by number, mapped
  run balances descr=x
  map contract_number=номер; amount=СУММА, РУБ
  rows Номер;Код;Сумма, руб;Итог / A15;9001;7;8
  item 9003/8 A15 account:9003 9003 7.00 8 x
by id, mapped
  run balances descr=x
  map abonent_id=Код; amount=Итог
  rows Номер;Код;Сумма, руб;Итог / A15;9001;7;8
  item 9001/8 00123 account:9001 9001 8.00 8 x
rows may say type and comment
  run balances op_type=2; descr=Акт
  rows abonent_id;op_summa;op_type_id;descr / 9001;5;1;Касса / 9002;6;;
  item 9001/1 00123 account:9001 9001 5.00 1 Касса
  item 9002/2 123 account:9002 9002 6.00 2 Акт
a comment may be empty
  run balances descr=
  rows abonent_id;amount;descr / 9001;5;
  item 9001/8 00123 account:9001 9001 5.00 8
columns as people call them
  run balances
  rows № договора;Абонент;Входящий остаток, руб. / 00123;Иванов И. И.;50,50
  item 9001/8 00123 account:9001 9001 50.50 8 Миграция балансов
line ends in a comment are told and not cut off
  run balances
  rows contract_number;amount;descr / 00123;5;"за март / "
  bad 2 descr: the text has line ends or other invisible characters
payments
  run payment way=add_payment
  rows contract_number;amount / 00123;50,50 / 123;7 / A15;1
  there operation 80001;9001;2;50.50;0 / 80002;9002;2;1;0
  item 9001 00123 account:9001 50.50
  item 9002 123 account:9002 7.00
  item 9003 A15 account:9003 1.00
  like 9001: operation 80001 of 50.50, 2026-02-03
payments are told apart by their documents
  run payment way=add_payment
  map document=№ документа
  rows abonent_id;amount;№ документа / 9001;5;17 / 9001;5;18 / 9001;6;17/a / 9002;7;
  item 9001/17 00123, 17 account:9001 5.00
  item 9001/18 00123, 18 account:9001 5.00
  item 9001/17/a 00123, 17/a account:9001 6.00
  item 9002 123 account:9002 7.00
  pending
  seen absent
  seen absent
  seen absent
  seen absent
of a column that nobody has named a document is not read
  run payment way=add_payment
  rows abonent_id;amount;№ документа / 9001;5;17
  item 9001 00123 account:9001 5.00
sums that are no payments
  run payment way=add_payment
  rows abonent_id;sum_in / 9001;5.5555 / 9001;0 / 9001;-5
  bad 2 sum_in: '5.5555' (column 2): 5.5555 has 4 decimals; the billing's kopecks take 2
  bad 3 sum_in: 0 is not a payment: an amount above zero is expected
  bad 4 sum_in: -5 is not a payment: an amount above zero is expected
services by their ids
  run delete-services
  rows users_usluga_id / 90001 / 90003 / 80000
  there put users_usluga id;abonent_id;usluga_id;deleted = 90001;9001;126;0 / 90003;9003;126;1
  item 90001 * account:9001
  item 90003: already as wanted: UsersUsluga 90003 is deleted
  bad 4 None: there is no UsersUsluga with id 80000
a value that is there already
  run attribute
  rows contract_number;attribute_id;value / 00123;1012;телеграм / A15;7;0015
  there put attribute_values id;abonent_id;attribute_id;attribute_value = 90001;9001;1012;телеграм / 90002;9003;7;15
  item 9001/1012: already as wanted: attribute value 90001 with attribute_value телеграм
  bad 3 None: abonent 9003, attribute 7 has another value already: attribute value 90002 with attribute_value 15,
      and the row says attribute_value 0015. This job adds and never changes: change it with the job `call`,
      AttributeValues: objects.get by its id → set → save
all live subscribers of a folder
  run warning-threshold folder=9100; amount=-120,00
  item 9001: already as wanted: limit_warning -120
  item 9002 123 account:9002 -120
  item 9003 A15 account:9003 -120
  item 9004 ДУБЛЬ account:9004 -120
  item 9005 ДУБЛЬ account:9005 -120
  item 9008: already as wanted: limit_warning -120
  item 9010 77/2 account:9010 -120
  bad None abonent_id: abonent 9007 has no account
  database
as the tariffs have it
  run tariff-threshold
  there update admin_accounts set limit_warning = -50 * 10000000000 where id = 9002
  there update admin_accounts set limit_warning = -7 * 10000000000 where id = 9004
  there update tarif set users_limit_warning = -1205 * 1000000000 where id = 3
  there update tarif set users_limit_warning = 900000000100000000 where id = 5
  item 9001 00123 account:9001 -50
  item 9003 A15 account:9003 -120.5
  item 9005 ДУБЛЬ account:9005 90000000.01
  item 9008 ВТОРОЙ account:9001 -50
  item 9010 77/2 account:9010 -50
  database
the sum of the tariff and one rouble
  run cutoff-limit folder=9100
  there delete from tarif_users_usluga where tarif_id = 5
  there update usluga set summa = 2505 * 1000000000 where id = 126
  item 9001 00123 account:9001 1401.5
  item 9002 123 account:9002 1401.5
  item 9003 A15 account:9003 251.5
  item 9004 ДУБЛЬ account:9004 701.5
  item 9008 ВТОРОЙ account:9001 1401.5
  item 9010 77/2 account:9010 1401.5
  bad None amount: the cell is empty
  bad None abonent_id: abonent 9007 has no account
  database
tariffs that are not there
  run tariff-now
  rows abonent_id;Тариф / 9001;3 / 9002;77 / 9003;99999999999 / 9003;x / 9003; / 012;3 / 31;3
  item 9001 00123 account:9001 3
  bad 3 Тариф: the billing has no tariff 77, or it is deleted
  bad 4 Тариф: '99999999999' is not an id: the largest possible one is 2147483647
  bad 5 Тариф: 'x' is not an id: a whole number above zero is expected
  bad 6 Тариф: the cell is empty
  bad 7 abonent_id: '012' is not an id, for it starts with a zero; is it a contract number?
  bad 8 abonent_id: there is no abonent 31
only who has one account has a cabinet
  run services-on-offer
  rows abonent_id / 9001 / 9002 / 9003 / 9006
  there put users id;abonent_id;login;deleted = 90001;9001;a;0 / 90002;9001;b;1 / 90003;9002;c;0 / 90004;9002;d;0
  item 9001 00123 reading:9001
  bad 3 None: the subscriber has several accounts: 90003 (c), 90004 (d). A session is opened for a subscriber's only
      one; take this row out
  bad 4 None: the subscriber has no account, and so no cabinet
  bad 5 abonent_id: abonent 9006 is deleted
a phone says how it was read
  run by-sms
  rows телефон / 8 123 456-78-99 / +71234567898 / 12
  item +71234567899 8 123 456-78-99, read as +71234567899 reading:+71234567899 +71234567899
  item +71234567898 +71234567898 reading:+71234567898 +71234567898
  bad 4 телефон: '12' has 2 digits: a number is written as +79123456789 or 8 912 345-67-89
an address
  run at-ip
  rows ip / 1.2.3
  bad 2 ip: '1.2.3' is not an address such as 127.1.2.3
a subscriber with another name is no new one
  call Abonents: objects.create {"contract_number": "{number}", "name": "{name}", "parent_id": 9100}
  rows number;name / 00123;Петров
  bad 2 None: contract_number 00123 has another value already: subscriber 9001 with name Иванов, parent_id 9100, and
      the row says name Петров, parent_id 9100. This job adds and never changes: change it with the job `call`,
      Abonents: objects.get by its id → set → save
a folder is none of the subscribers of its name
  call Abonents: objects.create {"is_folder": 1, "name": "{name}", "parent_id": 9100}
  rows name / Иванов / Странные
  item Abonents/Иванов/9100 Иванов folders 1 Иванов 9100
  item Abonents/Странные/9100 Странные folders 1 Странные 9100
a folder at the top is found there alone
  call Abonents: objects.create {"is_folder": 1, "name": "{name}", "parent_id": null}
  rows name / Странные
  item Abonents/Странные/: already as wanted: folder 9100
who is deleted has an account
  call AdminAccounts: objects.get {"account_id_abonents": {id}} → set {"limit_warning": "5"} → save
  rows id / 9006 / 9007 / 99999 / 9100 / 007 / 9002
  item AdminAccounts-2b47bf4375/9002 * account:9002 5
  bad 2 None: abonent 9006 is deleted
  bad 3 None: abonent 9007 has no account
  bad 4 None: there is no abonent 99999
  bad 5 None: abonent 9100 is a folder (Странные), no subscriber
  bad 6 None: '007' is not an id, for it starts with a zero; is it a contract number?
  then update abonents set deleted = 1 where id = 9002
  both cannot look: abonent 9002 is deleted
  refuses abonent 9002 is deleted
  database
money of the chain itself that is no amount
  call AdminAccounts: objects.get {"account_id_abonents": {id}} → set {"limit_warning": "5,5"} → save
  rows id / 9002
  bad 2 None: '5,5' is not a number: money is written as -1234.50 here
an empty part of a key
  call Users: objects.get {"id": {id}, "login": ""} → set {"pull": "6"} → save
  rows id / 9001
  bad 2 None: login is empty: which object is meant?
months that the vendor forbids
  call Abonents: objects.get {"id": {id}} → set {"need_recalc": "{x}"} → save
  rows id;x / 9001;<-7> / 9001;<0.02>
  bad 2 None: need_recalc: '<-7>' is 7 months back: the billing recalculates 6 at most
  bad 3 None: need_recalc: '<0.02>' is not the first of a month: a recalculation begins with one, as <0>
a block that the vendor forbids
  call Abonents: objects.get {"id": {id}} → set {"own_disabled_start": "2030-07-02", "own_disabled_end": "{x}"} → save
  rows id;x / 9001;2030-07-01 / 9001;03.07.2030
  bad 2 None: it would end at 2030-07-01, before it begins at 2030-07-02
  bad 3 None: own_disabled_start '2030-07-02', own_disabled_end '03.07.2030': dates are written as 2019-06-01 or
      2019-06-01 00:00:00 here
a service is another, a service is gone
  run connect-service usluga=240; manager=33
  rows abonent_id / 9001 / 9002
  sent
  then update users_usluga set usluga_id = 126, manager_id = 34 where id = {0}
  then update users_usluga set deleted = 1 where id = {1}
  both different, marked: sent usluga_id 240, manager_id 33; the billing has connected service {0} with usluga_id
      126, manager_id 34
  both different, marked: sent usluga_id 240, manager_id 33; the billing has connected service {1} with usluga_id
      240, manager_id 33 (deleted)
  left changed since: sent usluga_id 240, manager_id 33; the billing has connected service {0} with usluga_id 126,
      manager_id 34
  left already as it was: connected service {1} is gone
services that look the same
  run connect-service usluga=240; manager=33
  rows abonent_id / 9001 / 9002 / 9003
  there put users_usluga id;abonent_id;usluga_id;comment;deleted = 90001;9001;240;по звонку;0 / 90002;9001;126;;0 /
      90003;9002;240;;1 / 90004;9003;240;[cm aaaaa/1];0
  like 9001/240: connected service 90001 with usluga_id 240
  like 9003/240: [aaaaa/1] 90004 None connected service 90004 with usluga_id 240
a service whose id nobody knows
  run connect-service usluga=240; manager=33
  rows abonent_id / 9001
  answer
  refuses the id of what was created is not known: delete the UsersUsluga by hand
deleted services are there again
  run delete-services
  rows id / 90001 / 90002
  there put users_usluga id;abonent_id;usluga_id = 90001;9001;126 / 90002;9002;126
  sent
  then put users_usluga id;abonent_id;usluga_id = 90009;9001;126
  then update users_usluga set deleted = 0 where id = 90002
  left changed since: the run deleted it, and now there is connected service 90009 with abonent_id 9001, usluga_id 126
  left changed since: the run deleted it, and now there is connected service 90002 with abonent_id 9002, usluga_id 126
another value
  run attribute
  rows abonent_id;attribute_id;value / 9001;7;да
  then put attribute_values id;abonent_id;attribute_id;attribute_value = 90001;9001;7;нет
  answer 90001
  both different: sent attribute_value да; the billing has attribute value 90001 with attribute_value нет
  left changed since: sent attribute_value да; the billing has attribute value 90001 with attribute_value нет
another limit
  run warning-threshold amount=7
  rows abonent_id / 9001
  seen absent
  read None: wanted limit_warning 7; there is limit_warning -120
no account
  run warning-threshold amount=7
  rows abonent_id / 9001
  then update abonents set account_id = null where id = 9001
  both cannot look: abonent 9001 has no account
a recalculation that is done
  run recalculate since=<-2>
  rows abonent_id / 9001
  sent
  then update abonents set need_recalc = null where id = 9001
  seen absent
  read None
a recalculation of another month
  run recalculate since=<-2>
  rows abonent_id / 9001
  sent
  then update abonents set need_recalc = '2001-01-01' where id = 9001
  read None: wanted need_recalc <-2>; there is need_recalc 2001-01-01
a recalculation by a call
  call Abonents: objects.get {"id": {id}} → set {"need_recalc": "<0>"} → save
  rows id / 9001
  sent
  then update abonents set need_recalc = null where id = 9001
  read None
another address
  call Users: objects.get {"id": {id}} → set {"ip": "{ip}"} → save
  rows id;ip / 90001;10.0.0.7
  there put users id;abonent_id;login;ip = 90001;9001;a;167900000
  item Users-a90460b096/90001 * account:9001 10.0.0.7
  then update users set ip = 167772999 where id = 90001
  seen absent
  read None: wanted ip 10.0.0.7; there is ip 10.0.3.71
only the mark of run and row counts
  run balances
  rows abonent_id;amount / 9001;50,50
  then operation 90001;9001;8;50.50;0;Ввод [cm k7m2q/2] / 90002;9001;8;50.50;0;Ввод [cm aaaaa/1] /
      90003;9002;8;50.50;0;Ввод [cm k7m2q/1] / 90004;9001;1;50.50;0;Ввод [cm k7m2q/1] / 90005;9001;8;50.50;0;Ввод
  seen absent
another sum
  run balances
  rows abonent_id;amount / 9001;50,50
  sent
  then update finance_operations set op_summa = 70000000000 where op_id = {0}
  seen different, marked: sent 50.50; the billing has operation {0} of 7.00
  read 7: sent 50.50; the billing has operation {0} of 7.00
a storno
  run balances
  rows abonent_id;amount / 9001;50,50
  sent
  then update finance_operations set storno = 1 where op_id = {0}
  both different, marked: sent 50.50; the billing has operation {0} of 50.50 (reversed by storno)
the very same once more, of which one is reversed
  run balances
  rows abonent_id;amount / 9001;50,50
  sent
  sent
  then update finance_operations set storno = 1 where op_id = {0}
  seen different, marked: sent 50.50; the billing has operation {0} of 50.50 (reversed by storno), operation {1} of
      50.50
the very same once more
  run balances
  rows abonent_id;amount / 9001;50,50
  sent
  sent
  seen different, marked: sent 50.50 once; under its one mark the billing has 2: operation {0} of 50.50, operation
      {1} of 50.50. Take back there, by their ids, all but one; then verify again
  read 101.0: sent 50.50 once; under its one mark the billing has 2: operation {0} of 50.50, operation {1} of 50.50.
      Take back there, by their ids, all but one; then verify again
operations that look the same
  run balances
  rows abonent_id;amount / 9001;50,50 / 9002;1 / 9010;50,50
  there operation 90001;9001;8;50.50;0;по письму / 90002;9001;8;50.50;0 / 90003;9001;8;50.50;1;сторно /
      90004;9001;8;50.51;0;другая сумма / 90005;9001;1;50.50;0;другой вид / 90006;9002;8;1;0;Ввод [cm aaaaa/1] /
      90007;9003;8;50.50;0;чужая
  like 9001/8: operation 90001 of 50.50, 2026-02-03, operation 90002 of 50.50, 2026-02-03
  like 9002/8: [aaaaa/1] 90006 1 operation 90006 of 1.00, 2026-02-03
a long list of the same is cut
  run balances
  rows abonent_id;amount / 9001;50,50
  there operation 90001;9001;8;50.50;0 / 90002;9001;8;50.50;0 / 90003;9001;8;50.50;0 / 90004;9001;8;50.50;0 /
      90005;9001;8;50.50;0
  like 9001/8: operation 90001 of 50.50, 2026-02-03, operation 90002 of 50.50, 2026-02-03, operation 90003 of 50.50,
      2026-02-03 and 2 more
an operation whose id nobody knows
  run balances
  rows abonent_id;amount / 9001;50,50
  answer
  undo way=storno
  refuses the id of its operation of 50.50 is not known: take it back by hand
operations that were changed since
  run balances op_type=1
  rows abonent_id;amount / 9001;1 / 9002;2 / 9003;3 / 9010;4
  sent
  then update finance_operations set op_date = '2026-01-05'
  then update finance_operations set storno = 1 where op_id = {0}
  then update finance_operations set op_summa = 50000000000 where op_id = {1}
  then delete from finance_operations where op_id = {2}
  then update finance_operations set abonent_id = 9001 where op_id = {3}
  undo way=list / way=storno / way=opposite
  left already taken back: operation {0} of 1.00, 2026-01-05 (reversed by storno)
  left changed since: the run entered 2.00, and now there is operation {1} of 5.00, 2026-01-05
  left changed since: operation {2} is no longer there
  left operation {3} of 4.00, 2026-01-05 is one of abonent 9001, and not of 77/2
a balance with later operations
  run balances
  rows abonent_id;amount / 9002;50
  sent
  then update admin_accounts set debit = 100000000000 where id = 9002
  undo way=opposite
  left changed since: operation {0} of 50.00 left the balance at 50.00, if type 8 sets, and now it is 60.00
  database
no operation since the plan
  run payment way=add_payment
  rows abonent_id;amount / 9001;5
  seen cannot look: a payment bears no mark, and since the plan there is no operation of 5.00: look in the billing
      whether it has the payment in another form
  read None: sent 5.00; since the plan the billing has no operation of that sum
operations that may be it
  run payment way=add_payment
  rows abonent_id;amount / 9001;5
  then operation 80005;9001;2;5;0 / 80006;9001;2;6;0 / 80007;9002;2;5;0
  seen cannot look: a payment bears no mark, and since the plan there is operation 80005 of 5.00, 2026-02-03 (type
      2): it may be this row's, or somebody else's. Look in the billing which it is
  read 5.00
several that may be it
  run payment way=add_payment
  rows abonent_id;amount / 9001;5
  then operation 80005;9001;2;5;0 / 80008;9001;2;5;0
  read 5.00: sent 5.00; since the plan the billing has operation 80005 of 5.00, 2026-02-03 (type 2), operation 80008
      of 5.00, 2026-02-03 (type 2)
an operation of 5
  run payment way=add_payment
  rows abonent_id;amount / 9001;5
  pending
  then operation 80005;9001;5;5;0
  seen cannot look: a payment bears no mark, and since the plan there is operation 80005 of 5.00, 2026-02-03 (type
      5): it may be this row's, or somebody else's. Look in the billing which it is
an operation of 1
  run payment way=add_payment
  rows abonent_id;amount / 9001;5
  pending
  then operation 80005;9001;1;5;0
  seen cannot look: a payment bears no mark, and since the plan there is operation 80005 of 5.00, 2026-02-03 (type
      1): it may be this row's, or somebody else's. Look in the billing which it is
an operation of 2 (reversed by storno)
  run payment way=add_payment
  rows abonent_id;amount / 9001;5
  pending
  then operation 80005;9001;2;5;1
  seen cannot look: a payment bears no mark, and since the plan there is operation 80005 of 5.00, 2026-02-03
      (reversed by storno) (type 2): it may be this row's, or somebody else's. Look in the billing which it is
payments that cannot be told from others
  run payment way=add_payment
  rows contract_number;amount / 00123;50,50 / 123;7
  sent
  then update finance_operations set op_id = 80001, op_date = '2026-02-03' where abonent_id = 9001
  then operation 80002;9001;2;50.50;0
  then delete from finance_operations where abonent_id = 9002
  undo way=storno
  left which operation is its own cannot be told: operation 80001 of 50.50, 2026-02-03 (type 2), operation 80002 of
      50.50, 2026-02-03 (type 2). Take the right one back by hand
  left changed since: an operation of 7.00 is no longer there
"""
"""A scene is a name, and below it a line a word; what it has no word for is not looked at.

    run JOB NAME=VALUE; …     what is run, or `call MODEL: LINK → LINK`; `map NAME=COLUMN` and `rows`, split by /
    there STATEMENT           what is there before the list is made
    item, bad LINE            an item: key, label (* is any), lane, what its call says or why it is skipped; a refusal
    like KEY: TEXT            what of others looks the same
    sent                      each row is sent; `pending`: its call has not begun
    then STATEMENT            what somebody does; {0} is the first answer, {1} the second
    seen, read, both TEXT     what a look and a reading say of each row, or both of them
    answer ID                 the answer that an undo knows of a row, where it is another
    undo NAME=VALUE / …       how an undo is asked for, each with the same outcome: `left TEXT`, `refuses TEXT`
    database                  only the database can tell

A statement is SQL, `put TABLE NAME;… = VALUE;… / …`, or `operation ID;SUBSCRIBER;TYPE;SUM;REVERSED;COMMENT / …`.
"""


def scenes() -> Iterator[tuple[str, Scene]]:
    for block in re.split(r"\n(?=\S)", SCENES.strip("\n")):
        name, *lines = re.sub(r"\n {6,}", " ", block).splitlines()
        scene: dict[str, list[str]] = defaultdict(list)
        for line in lines:
            word, _, rest = line[2:].partition(" ")
            scene[word].append(re.sub(r"<(-?\d+)(?:\.(\d\d))?>", _month, rest))
        yield name, scene


def _month(found: re.Match[str]) -> str:
    return first_of(int(found[1]))[:-2] + (found[2] or "01")


def pairs(texts: Sequence[str]) -> dict[str, str]:
    return dict(pair.split("=", 1) for text in texts for pair in text.split("; ") if pair)


def carry_out(statement: str, execute: Execute) -> None:
    word, _, rest = statement.partition(" ")
    if word == "operation":
        for row in rest.split(" / "):
            key, abonent, kind, amount, *more = row.split(";")
            values = (
                key,
                abonent,
                kind,
                int(Decimal(amount) * SCALE),
                *more,
                *[None] * (2 - len(more)),
                "2026-02-03",
            )
            execute.rows("finance_operations", "op_id abonent_id op_type op_summa storno descr op_date", values)
    elif word == "put":
        table, names, _, rows = rest.split(" ", 3)
        execute.rows(
            table, names.replace(";", " "), *([cell or None for cell in row.split(";")] for row in rows.split(" / "))
        )
    else:
        execute(statement)


@pytest.mark.parametrize(("name", "scene"), list(scenes()), ids=[name for name, _ in scenes()])
async def test_what_is_said_of_rows_at_each_stage(
    gateway: Gateway, execute: Execute, name: str, scene: Scene
) -> None:
    if "database" in scene and not gateway.database:
        return
    for statement in scene["there"]:
        carry_out(statement, execute)
    if "call" in scene:
        model, chain = scene["call"][0].split(": ", 1)
        job_name, given = CALL, {"model": model, "chain": chain_text(chain.split(" → "))}
    else:
        job_name, _, said = scene["run"][0].partition(" ")
        given = pairs([said])
    kind = BUILT_IN.kind(job_name, given)
    rows = (
        rows_of(scene["rows"][0].replace(" / ", "\n") + "\n", **pairs(scene["map"])) if "rows" in scene else Input()
    )
    job = job_of(gateway, kind, rows, **given)
    done = await prepared(job)
    # What a job selects itself has more than the odd ones.
    new = [one for one in done.items if "rows" in scene or 9000 < int(one.key) < FOLDER]
    if scene["item"] or scene["bad"]:
        wanted = zip(scene["item"], new, strict=True)
        assert [line_of(one) for one in new] == [line.replace("*", one.label) for line, one in wanted], name
    assert [f"{one.line} {one.column}: {one.reason}" for one in done.refusals] == scene["bad"]
    if "like" in scene:
        found = await job.find_entries(new)
        assert [f"{key}: {text}" for key, one in found.items() for text in alike(one)] == scene["like"]
    effect = effect_of(gateway, kind, **given)
    first = [sending_item(one, number) for number, one in enumerate(new, 1) if not one.skip_reason]
    items = [msgspec.structs.replace(item, state=State.PENDING) for item in first] if "pending" in scene else first
    answers: list[str | None] = []
    for _ in scene["sent"]:
        items = await sent(effect, items)
        answers += [item.answer for item in items]
    for statement in scene["then"]:
        carry_out(statement.format(*answers), execute)
    await is_found(scene, effect, items, answers)


async def is_found(scene: Scene, effect: CallEffect, items: Sequence[Item], answers: Sequence[str | None]) -> None:
    """What a look, a reading and an undo say of the rows by now."""

    def expected(texts: Sequence[str]) -> list[str]:
        return [text.format(*answers) for text in texts]

    if seen := expected(scene["seen"] or scene["both"]):
        assert [sight(one) for one in await sightings(effect, items)] == seen
    if read := expected(scene["read"] or [f"None: {text.split(': ', 1)[1]}" for text in scene["both"]]):
        found = await readings(effect, items)
        assert [f"{one.amount}: {one.difference}".removesuffix(": None") for one in found] == read
    if scene["left"] or scene["refuses"]:
        known = zip(items, scene["answer"] or [item.answer for item in items], strict=True)
        items = [msgspec.structs.replace(item, answer=answer or None) for item, answer in known]
        for how in (scene["undo"] or [""])[0].split(" / "):
            undo = (await undone(effect, items, **pairs([how]))).done
            assert [one.reason for one in undo.refusals] == scene["refuses"]
            assert [one.skip_reason for one in undo.items] == expected(scene["left"])


def line_of(item: NewItem) -> str:
    if item.skip_reason:
        return f"{item.key}: {item.skip_reason}"
    steps = decode_payload(item.payload).steps
    said = [str(value) for method, values in steps if method != "objects.get" for value in values.values()]
    assert item.amount is None or str(item.amount) in said
    return " ".join((item.key, item.label, item.lane, *said)).rstrip()


def alike(entries: Entries) -> Iterator[str]:
    if entries.unmarked:
        yield entries.unmarked
    for one in entries.marked:
        yield f"[{one.run}/{one.number}] {one.entry_id} {one.amount} {one.text}"


def sight(seen: LookUpResult) -> str:
    match seen:
        case Absent():
            return "absent"
        case Different():
            return f"different{', marked' if seen.marked else ''}: {seen.text}"
        case CannotLook():
            return f"cannot look: {seen.text}"
        case Found():
            return f"found {seen.answer}"
