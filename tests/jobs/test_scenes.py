"""Rows of any job on the mock billing: their list, what others have there, and what is found and taken back since.

One table of scenes, and one stage: lists, calls, what somebody does meanwhile, and what a look, a reading and an undo
say of it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Final, TypeAlias

import msgspec
import pytest

from billing.database.database import Database
from billing.money import SCALE
from billing.profile import Fact, Profile, Standing, StornoEffect, TypeEight
from checkpoints.journal import Journal
from checkpoints.records import Item, NewItem, Run
from checkpoints.states import State
from engine.evidence import Accepted, Seen
from engine.job import Absent, CannotLook, Different, Entries, Found, LookUpResult, Prepared, ReadBack
from engine.pipeline.verifier import verify
from jobs.access.gateway import Gateway
from jobs.access.payload import decode_payload
from jobs.catalogue.catalogue import BUILT_IN
from jobs.catalogue.typed_call import CALL
from jobs.effects.effect import CallEffect
from jobs.job import BillingJob
from jobs.rows.input import Input
from jobs.spec.chain import chain_text
from jobs.undo import EarlierItems, UndoJob
from jobs.value_changes import overwritten
from lab.mock.facts import Quirks
from tests.checkpoints.samples import sending_item
from tests.jobs import making
from tests.jobs.catalogue.months import first_of
from tests.jobs.conftest import FOLDER, Execute
from tests.jobs.importing import carried_out, states
from tests.jobs.whole_database import Tables, changes, new_rows, whole

Scene: TypeAlias = Sequence[tuple[str, list[str]]]

SCENES: Final = """
# run balances
ids and amounts that can be used, and those that cannot
  rows abonent_id;Amount;note / 9001;50,5;x / 9002; 1 200 ;y / 9003;-0;z / ;1; / 9100;1; / 9006;1; / 9007;1; /
      8999;1; / 99999999999;1; / 00123;1; / 12a;1; / 0;1; / 9001; ; / 9002;12O; / 9003;5.5555; / 9010;  5.5555;
  item 9001/8 00123 account:9001 9001 50.50 8 Миграция балансов
  item 9002/8 123 account:9002 9002 1200.00 8 Миграция балансов
  item 9003/8 A15 account:9003 9003 0.00 8 Миграция балансов
  bad 5 abonent_id: the cell is empty
  bad 6 abonent_id: abonent 9100 is a folder (Странные), no subscriber
  bad 7 abonent_id: abonent 9006 is deleted
  bad 8 abonent_id: abonent 9007 has no account
  bad 9 abonent_id: there is no abonent 8999
  bad 10 abonent_id: there is no abonent 99999999999
  bad 11 abonent_id: '00123' is not an id, for it starts with a zero; is it a contract number?
  bad 12 abonent_id: '12a' is not an id: a whole number is expected
  bad 13 abonent_id: '0' is not an id, for it starts with a zero; is it a contract number?
  bad 14 Amount: the cell is empty
  bad 15 Amount: '12O' (column 2): character 3 is the Latin letter 'O', which looks like a zero
  bad 16 Amount: '5.5555' (column 2): 5.5555 has 4 decimals; the billing's kopecks take 2
  bad 17 Amount: '5.5555' (column 2): 5.5555 has 4 decimals; the billing's kopecks take 2
contract numbers are texts, and some name nobody usable
  run balances descr=x
  rows  Contract_Number ,AMOUNT / 00123,1 / 123,2 / A15,3 / 77/2,4 / ВТОРОЙ,5 / ,1 / ДУБЛЬ,1 / ГОСТЬ-1,1 / БЕЗСЧЁТА,1
  item 9001/8 00123 account:9001 9001 1.00 8 x
  item 9002/8 123 account:9002 9002 2.00 8 x
  item 9003/8 A15 account:9003 9003 3.00 8 x
  item 9010/8 77/2 account:9010 9010 4.00 8 x
  item 9008/8 ВТОРОЙ account:9001 9008 5.00 8 x
  bad 7 Contract_Number: the cell is empty
  bad 8 Contract_Number: several subscribers have the contract number 'ДУБЛЬ': abonent 9004 (Иванов), abonent 9005
      (Иванов); tell them apart by abonent_id
  bad 9 Contract_Number: abonent 9006 is deleted
  bad 10 Contract_Number: abonent 9007 has no account
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
rows may say type and comment
  run balances op_type=2; descr=Акт
  rows abonent_id;op_summa;op_type_id;descr / 9001;5;1;Касса / 9002;6;;
  item 9001/1 00123 account:9001 9001 5.00 1 Касса
  item 9002/2 123 account:9002 9002 6.00 2 Акт
columns as people call them
  rows № договора;Абонент;Входящий остаток, руб. / 00123;Иванов И. И.;50,50
  item 9001/8 00123 account:9001 9001 50.50 8 Миграция балансов
line ends in a comment are told and not cut off
  rows contract_number;amount;descr / 00123;5;"за март / "
  bad 2 descr: the text has line ends or other invisible characters
# run payment way=add_payment
payments
  rows contract_number;amount / 00123;50,50 / 123;7 / A15;1
  then operation 80001;9001;2;50.50;0 / 80002;9002;2;1;0
  item 9001 00123 account:9001 50.50
  item 9002 123 account:9002 7.00
  item 9003 A15 account:9003 1.00
  like 9001: operation 80001 of 50.50, 2026-02-03
payments are told apart by their documents
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
of a column that is no document none is read
  rows abonent_id;amount;№ п/п / 9001;5;17
  item 9001 00123 account:9001 5.00
sums that are no payments
  rows abonent_id;sum_in / 9001;5.5555 / 9001;0 / 9001;-5
  bad 2 sum_in: '5.5555' (column 2): 5.5555 has 4 decimals; the billing's kopecks take 2
  bad 3 sum_in: 0 is not a payment: an amount above zero is expected
  bad 4 sum_in: -5 is not a payment: an amount above zero is expected
# run
services by their ids
  run delete-services
  rows users_usluga_id / 90001 / 90003 / 80000
  then put users_usluga id;abonent_id;usluga_id;deleted = 90001;9001;126;0 / 90003;9003;126;1
  item 90001 * account:9001
  item 90003: already as wanted: UsersUsluga 90003 is deleted
  bad 4 None: there is no UsersUsluga with id 80000
services by their comment
  database
  run delete-services comment=Автоматический%предоплате%2017-12-31%
  then put users_usluga id;abonent_id;usluga_id;comment;deleted =
      9051;9001;126;Автоматический по предоплате 2017-12-31 (1);0 /
      9052;9002;126;Автоматический по предоплате 2017-12-31 (2);0 /
      9053;9003;126;Автоматический по предоплате 2017-12-31 (3);1
  item 9051 00123 account:9001
  item 9052 123 account:9002
a value that is there already
  run attribute
  rows contract_number;attribute_id;value / 00123;1012;телеграм / A15;7;0015
  then put attribute_values id;abonent_id;attribute_id;attribute_value = 90001;9001;1012;телеграм / 90002;9003;7;15
  item 9001/1012: already as wanted: attribute value 90001 with attribute_value телеграм
  bad 3 None: abonent 9003, attribute 7 has another value already: attribute value 90002 with attribute_value 15,
      and the row says attribute_value 0015. This job adds and never changes: change it with the job `call`,
      AttributeValues: objects.get by its id → set → save
all live subscribers of a folder
  database
  run warning-threshold folder=9100; amount=-120,00
  item 9001: already as wanted: limit_warning -120
  item 9002 123 account:9002 -120
  item 9003 A15 account:9003 -120
  item 9004 ДУБЛЬ account:9004 -120
  item 9005 ДУБЛЬ account:9005 -120
  item 9008: already as wanted: limit_warning -120
  item 9010 77/2 account:9010 -120
  bad None abonent_id: abonent 9007 has no account
all of an operator who are not deleted
  database
  run operator from=5; operator=1444
  then put operators id;name = 5;Третий
  then update abonents set operator_id = 5 where id in (9001, 9003, 9006)
  item 9001 00123 account:9001 1444
  item 9003 A15 account:9003 1444
  sent
  stands count(*) from abonents where operator_id = 5 = 1
as the tariffs have it
  database
  run tariff-threshold
  then update admin_accounts set limit_warning = -50 * 10000000000 where id = 9002
  then update admin_accounts set limit_warning = -7 * 10000000000 where id = 9004
  then update tarif set users_limit_warning = -1205 * 1000000000 where id = 3
  then update tarif set users_limit_warning = 900000000100000000 where id = 5
  item 9001 00123 account:9001 -50
  item 9003 A15 account:9003 -120.5
  item 9005 ДУБЛЬ account:9005 90000000.01
  item 9008 ВТОРОЙ account:9001 -50
  item 9010 77/2 account:9010 -50
the sum of the tariff and one rouble
  database
  run cutoff-limit folder=9100
  then delete from tarif_users_usluga where tarif_id = 5
  then update usluga set summa = 2505 * 1000000000 where id = 126
  item 9001 00123 account:9001 1401.5
  item 9002 123 account:9002 1401.5
  item 9003 A15 account:9003 251.5
  item 9004 ДУБЛЬ account:9004 701.5
  item 9008 ВТОРОЙ account:9001 1401.5
  item 9010 77/2 account:9010 1401.5
  bad None amount: the cell is empty
  bad None abonent_id: abonent 9007 has no account
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
  then put users id;abonent_id;login;deleted = 90001;9001;a;0 / 90002;9001;b;1 / 90003;9002;c;0 / 90004;9002;d;0
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
a service without a manager is saved all the same
  run next-charge
  rows contract_number;usluga_id;next_date / 00123;126;2020-09-13
  then put users_usluga id;abonent_id;usluga_id = 90001;9001;126
  item 9001/126 00123 account:9001 2020-09-13 00:00:00 True
  sent
who is deleted has an account
  database
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
money of the chain itself that is no amount
  call AdminAccounts: objects.get {"account_id_abonents": {id}} → set {"limit_warning": "5,5"} → save
  rows id / 9002
  bad 2 None: '5,5' is not a number: money is written as -1234.50 here
rows that no call can be made of
  call FinanceOperations: objects.create {"abonent_id": {id}, "op_type_id": 1, "op_summa": "{sum}"}
  rows id;sum / 9100;5 / 8999;5 / 9001;5,5 / 9002;1e3 / 09003;5
  bad 2 None: abonent 9100 is a folder (Странные), no subscriber
  bad 3 None: there is no abonent 8999
  bad 4 None: '5,5' is not an amount: money is written as -1234.50 here
  bad 5 None: '1e3' is not an amount: money is written as -1234.50 here
  bad 6 None: '09003' is not an id, for it starts with a zero; is it a contract number?
money that a chain sets, and that is none
  call AdminAccounts: objects.get {"account_id_abonents": {id}} → set {"limit_warning": "{sum}"} → save
  rows id;sum / 9001;-7,5 / 9002; / 9003;-8
  item AdminAccounts-b5e395f7f6/9003 * account:9003 -8
  bad 2 None: '-7,5' is not a number: money is written as -1234.50 here
  bad 3 sum: the cell is empty
an empty cell empties the field that is set, and what finds the object is never empty
  call Abonents: objects.get {"id": {id}} → set {"sms": {sms}, "email": "{Почта}"} → save
  rows id;sms;почта / 9001;; / 9002;+79990000001;a@example.org / ;1;x
  then update abonents set sms = 'x', email = 'x' where id = 9001
  item Abonents-78108f5478/9001 * account:9001 None
  item Abonents-78108f5478/9002 * account:9002 +79990000001 a@example.org
  bad 4 id: the cell is empty
  sent
  stands coalesce(sms, 'none') || coalesce(email, 'none') from abonents where id = 9001 = none
  read None
  read None
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
a model that nobody here knows
  call Tarif: objects.get {"id": {id}} → delete
  rows id / 6 / 60
  item Tarif-46808d500a/6 6 Tarif:6
  bad 3 None: there is no Tarif with id 60
  told RowRefused: На объект ссылаются: Abonents
  stands count(*) from tarif where id = 6 = 1
the vendors move to another pool verifies and is taken back
  call Users: objects.get {"id": {id}} → set {"ip": "", "pull": "6"} → save
  rows id / 90001
  then put users id;abonent_id;login;ip;pull = 90001;9001;a;167900000;5
  sent
  stands case when ip = 167900000 then 'old' else 'new' end from users where id = 90001 = new
  read None
  seen found {0}
  back
  sent
  read None
  stands ip from users where id = 90001 = 167900000
an address alone that is emptied is issued anew
  call Users: objects.get {"id": {id}} → set {"ip": ""} → save
  rows id / 90001
  then put users id;abonent_id;login;ip;pull = 90001;9001;a;167900000;5
  seen absent
  sent
  seen found {0}
recalculations, one done and one of another month
  run recalculate since=<-2>
  rows abonent_id / 9001 / 9002
  sent
  then update abonents set need_recalc = null where id = 9001
  then update abonents set need_recalc = '2001-01-01' where id = 9002
  seen absent
  seen absent
  read None
  read None: wanted need_recalc <-2>; there is need_recalc 2001-01-01
another limit, and no account
  run warning-threshold amount=7
  rows abonent_id / 9001 / 9002
  plan
  then update abonents set account_id = null where id = 9002
  seen absent
  seen cannot look: abonent 9002 has no account
  read None: wanted limit_warning 7; there is limit_warning -120
  read None: abonent 9002 has no account
an account that is pointed to stays without clean_links
  run delete-account clean_links=no
  rows user_id / 90001
  then put users id;abonent_id;login = 90001;9001;ivanov
  then put cabinet_sessions id;suid;user_id;created = 90001;12345;90001;2026-05-01
  told RowRefused: На объект ссылаются: CabinetSessions
  seen absent
another value
  run attribute
  rows abonent_id;attribute_id;value / 9001;7;да
  plan
  then put attribute_values id;abonent_id;attribute_id;attribute_value = 90001;9001;7;нет
  both different: sent attribute_value да; the billing has attribute value 90001 with attribute_value нет
  answer 90001
  left changed since: sent attribute_value да; the billing has attribute value 90001 with attribute_value нет
what is there again is not made anew
  run attribute
  rows contract_number;attribute_id;value / 00123;1012;телеграм / A15;7;0015
  sent
  back
  sent
  then put attribute_values id;abonent_id;attribute_id;attribute_value = 90001;9001;1012;вайбер
  then update abonents set deleted = 1 where id = 9003
  left changed since: the run deleted it, and now there is attribute value 90001 with abonent_id 9001, attribute_id
      1012
  refuses abonent 9003 is deleted since: nothing can be given to it
# run delete-services
  rows id / 90001
deleted services are there again
  rows id / 90001 / 90002
  then put users_usluga id;abonent_id;usluga_id = 90001;9001;126 / 90002;9002;126
  sent
  then put users_usluga id;abonent_id;usluga_id = 90009;9001;126
  then update users_usluga set deleted = 0 where id = 90002
  left changed since: the run deleted it, and now there is connected service 90009 with abonent_id 9001, usluga_id 126
  left changed since: the run deleted it, and now there is connected service 90002 with abonent_id 9002, usluga_id 126
a service that somebody changed between plan and call is made anew as it was then
  then put users_usluga id;abonent_id;usluga_id;next_date = 90001;9001;126;2026-05-01
  plan
  then update users_usluga set next_date = '2031-02-03' where id = 90001
  fresh
  told Accepted: changed between plan and call: it was next_date 2026-05-01, and then next_date 2031-02-03; an undo
      brings the latter back
  fresh
  back
  item k7m2q/1 * account:9001 9001 126 2031-02-03 00:00:00 1
# run connect-service usluga=240; manager=33
  rows abonent_id / 9001
a service is another, a service is gone
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
  rows abonent_id / 9001 / 9002 / 9003
  then put users_usluga id;abonent_id;usluga_id;comment;deleted = 90001;9001;240;по звонку;0 / 90002;9001;126;;0 /
      90003;9002;240;;1 / 90004;9003;240;[cm aaaaa/1];0
  like 9001/240: connected service 90001 with usluga_id 240
  like 9003/240: [aaaaa/1] 90004 None connected service 90004 with usluga_id 240
a service whose id nobody knows
  answer
  refuses the id of what was created is not known: delete the UsersUsluga by hand
what the billing refuses is of the row
  sent
  told RowRefused: Обещанный платеж уже подключен
a comment gives way to the new mark, and what is charged since changes nothing
  sent
  then update users_usluga set comment = rpad('', 240, 'я') || ' [cm k7m2q/1]' where id = {0}
  then update users_usluga set next_date = '2026-05-01' where id = {0}
  back
  sent
  back
  sent
  stands right(comment, 15) from users_usluga where id = {2} = я… [cm v8v8v/1]
  stands char_length(comment) from users_usluga where id = {2} = 236
  stands next_date from users_usluga where id = {2} = 2026-05-01 00:00:00
  then update users_usluga set next_date = '2026-06-01', enabled = 0 where id = {2}
  seen found {2}
# call Abonents: objects.create {"contract_number": "{number}", "name": "{name}", "parent_id": 9100}
  rows number;name / 00777;Новиков
a subscriber with another name is no new one
  rows number;name / 00123;Петров
  bad 2 None: contract_number 00123 has another value already: subscriber 9001 with name Иванов, parent_id 9100, and
      the row says name Петров, parent_id 9100. This job adds and never changes: change it with the job `call`,
      Abonents: objects.get by its id → set → save
a number that is taken is refused only where the subscriber is another
  rows number;name / 00777;Новиков / 00778;Попов
  unsent
  then put abonents id;parent_id;name;contract_number = 9777;9100;Новиков;00777 / 9778;9100;Серов;00778
  told AlreadyThere: already as wanted: somebody else has made it just before (id 9777)
  told RowRefused: Номер договора уже закреплен: 00778; the billing has subscriber 9778 with name Серов, parent_id
      9100
  seen found 9777
  seen different: sent name Попов, parent_id 9100; the billing has subscriber 9778 with name Серов, parent_id 9100
a number that is taken of a row that was sent before
  plan
  then put abonents id;parent_id;name;contract_number = 9777;9100;Новиков;00777
  told Accepted, unproven: found in the billing, and may be somebody else's: Номер договора уже закреплен: 00777
# call Abonents: objects.create {"is_folder": 1, "name": "{name}", "parent_id": 9100}
a folder is none of the subscribers of its name
  rows name / Иванов / Странные
  item Abonents/Иванов/9100 Иванов folders 1 Иванов 9100
  item Abonents/Странные/9100 Странные folders 1 Странные 9100
a folder at the top is found there alone
  call Abonents: objects.create {"is_folder": 1, "name": "{name}", "parent_id": null}
  rows name / Странные
  item Abonents/Странные/: already as wanted: folder 9100
a folder that is not empty is not deleted again
  rows name / Новая
  sent
  back
  then put abonents id;parent_id;name;contract_number = 9999;{0};x;9999
  told RowRefused: left alone, for the folder is not empty: 9999
# run balances
  rows abonent_id;amount / 9001;50,50
only the mark of run and row counts
  plan
  then operation 90001;9001;8;50.50;0;Ввод [cm k7m2q/2] / 90002;9001;8;50.50;0;Ввод [cm aaaaa/1] /
      90003;9002;8;50.50;0;Ввод [cm k7m2q/1] / 90004;9001;1;50.50;0;Ввод [cm k7m2q/1] / 90005;9001;8;50.50;0;Ввод
  seen absent
another sum, and a storno
  rows abonent_id;amount / 9001;50,50 / 9002;50,50
  sent
  then update finance_operations set op_summa = 70000000000 where op_id = {0}
  then update finance_operations set storno = 1 where op_id = {1}
  seen different, marked: sent 50.50; the billing has operation {0} of 7.00
  seen different, marked: sent 50.50; the billing has operation {1} of 50.50 (reversed by storno)
  read 7: sent 50.50; the billing has operation {0} of 7.00
  read None: sent 50.50; the billing has operation {1} of 50.50 (reversed by storno)
the very same once more, and one of which the first is reversed
  rows abonent_id;amount / 9001;50,50 / 9002;50,50
  sent
  sent
  then update finance_operations set storno = 1 where op_id = {1}
  seen different, marked: sent 50.50 once; under its one mark the billing has 2: operation {0} of 50.50, operation
      {2} of 50.50. Take back there, by their ids, all but one; then verify again
  seen different, marked: sent 50.50; the billing has operation {1} of 50.50 (reversed by storno), operation {3} of
      50.50
  read 101.0: sent 50.50 once; under its one mark the billing has 2: operation {0} of 50.50, operation {2} of 50.50.
      Take back there, by their ids, all but one; then verify again
  read 50.5
operations that look the same, of a long list the first
  rows abonent_id;amount / 9001;50,50 / 9002;1 / 9010;50,50 / 9003;2
  then operation 90001;9001;8;50.50;0;по письму / 90002;9001;8;50.50;0 / 90003;9001;8;50.50;1;сторно /
      90004;9001;8;50.51;0;другая сумма / 90005;9001;1;50.50;0;другой вид / 90006;9002;8;1;0;Ввод [cm aaaaa/1] /
      90007;9003;8;50.50;0;чужая / 90011;9003;8;2;0 / 90012;9003;8;2;0 / 90013;9003;8;2;0 / 90014;9003;8;2;0 /
      90015;9003;8;2;0
  like 9001/8: operation 90001 of 50.50, 2026-02-03, operation 90002 of 50.50, 2026-02-03
  like 9002/8: [aaaaa/1] 90006 1 operation 90006 of 1.00, 2026-02-03
  like 9003/8: operation 90011 of 2.00, 2026-02-03, operation 90012 of 2.00, 2026-02-03, operation 90013 of 2.00,
      2026-02-03 and 2 more
an operation whose id nobody knows
  answer
  undo way=storno
  refuses the id of its operation of 50.50 is not known: take it back by hand
a storno that had its effect already is looked up
  known
  sent
  undo way=storno
  back
  read None: operation {0} is not reversed
  sent
  told Lost: rejected, and whether it is reversed has to be looked up: Операция уже сторнирована
  seen found {0}
  then delete from finance_operations where op_id = {0}
  seen cannot look: operation {0} is gone, or another one has its id by now: look in the billing whether this storno
      has reversed that one
  read None: there is no operation {0} any more
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
  left gone since: operation {2} is no longer there
  left left alone, for its id is another's by now: operation {3} of 4.00, 2026-01-05 is of abonent 9001, with the
      comment 'Миграция балансов [cm k7m2q/4]'. Was the billing put back from its backup since?
opposite entries say what they take back
  run balances op_type=1
  rows abonent_id;amount / 9002;50
  sent
  undo way=opposite; descr=Ошибка ввода
  back
  item k7m2q/1 * account:9002 9002 -50.00 1 Ошибка ввода {0}
# run balances
  database
  rows abonent_id;amount / 9002;50
a balance with later operations
  sent
  then update admin_accounts set debit = 100000000000 where id = 9002
  undo way=opposite
  left changed since: operation {0} of 50.00 left the balance at 50.00, if type 8 sets, and now it is 60.00
a balance that a storno does not bring back
  known
  then update admin_accounts set ostatok = 70000000000 where id = 9002
  sent
  undo way=storno
  back
  sent
  read -50: operation {0} is reversed, but the balance is 0.00, and was 7.00 before the run: either there were
      operations after it, or a storno of type 8 does not bring the balance back
what the balance was is kept as it was overwritten
  then update admin_accounts set ostatok = 50000000000 where id = 9002
  plan
  then update admin_accounts set ostatok = 70000000000 where id = 9002
  fresh
  told Accepted: changed between plan and call: it was balance 5.00, and then balance 7.00; an undo brings the latter
      back
  undo way=opposite
  back
  sent
  stands balance from admin_accounts where id = 9002 = 70000000000
absence proves nothing while entries of the row wait
  waits None
  then put account_stack id;account_id = 1;9001
  waits None
  then put account_stack id;account_id = 2;9002
  waits ACCOUNT_STACK holds 1 entry
  then put events_stack_compact id;abonent_id = 1;9002 / 2;9002
  waits ACCOUNT_STACK holds 1 entry, EVENTS_STACK_COMPACT holds 2 entries
# run balances
  database
  adds
  rows abonent_id;amount / 9002;50
a balance that was added to
  then update admin_accounts set ostatok = 70000000000 where id = 9002
  sent
  undo way=opposite; type_8=sets
  left changed since: operation {0} of 50.00 left the balance at 50.00, if type 8 sets, and now it is 57.00;
      that is the balance if it is the other way round: --set type_8=adds
  undo way=opposite; type_8=adds
  back
  sent
  stands balance from admin_accounts where id = 9002 = 70000000000
  read -50
from a balance of nothing, setting and adding come to the same: only reading back tells
  sent
  undo way=opposite; type_8=sets
  back
  sent
  stands balance from admin_accounts where id = 9002 = 500000000000
  read 0: operation {1} of 0.00 is entered, but the balance is 50.00 and not 0.00: no later operation of its account
      is known, so either somebody has set the balance, or the billing does something else with this type
# run payment way=add_payment
  rows abonent_id;amount / 9001;5 / 9002;5 / 9003;5
operations since the plan that may be their own, or are none
  plan
  then operation 80005;9002;2;5;0 / 80006;9002;2;6;0 / 80007;9003;2;5;0 / 80008;9003;2;5;0
  seen cannot look: a payment bears no mark, and since the plan there is no operation of 5.00: look in the billing
      whether it has the payment in another form
  seen cannot look: a payment bears no mark, and since the plan there is operation 80005 of 5.00, 2026-02-03 (type
      2): it may be this row's, or somebody else's. Look in the billing which it is
  seen cannot look: a payment bears no mark, and since the plan there is operation 80007 of 5.00, 2026-02-03 (type
      2), operation 80008 of 5.00, 2026-02-03 (type 2): it may be this row's, or somebody else's. Look in the billing
      which it is
  read None: sent 5.00; since the plan the billing has no operation of that sum
  read 5.00
  read 10.00: sent 5.00; since the plan the billing has operation 80007 of 5.00, 2026-02-03 (type 2), operation 80008
      of 5.00, 2026-02-03 (type 2)
operations of any type, of rows that wait
  pending
  then operation 80005;9001;5;5;0 / 80006;9002;1;5;0 / 80007;9003;2;5;1
  seen cannot look: a payment bears no mark, and since the plan there is operation 80005 of 5.00, 2026-02-03 (type
      5): it may be this row's, or somebody else's. Look in the billing which it is
  seen cannot look: a payment bears no mark, and since the plan there is operation 80006 of 5.00, 2026-02-03 (type
      1): it may be this row's, or somebody else's. Look in the billing which it is
  seen cannot look: a payment bears no mark, and since the plan there is operation 80007 of 5.00, 2026-02-03
      (reversed by storno) (type 2): it may be this row's, or somebody else's. Look in the billing which it is
an operation that was reversed when the list was made, and stands again
  then operation 80001;9001;2;5;1 / 80002;9002;2;5;1 / 80003;9003;2;5;0
  pending
  then update finance_operations set storno = 0 where abonent_id = 9002
  seen absent
  seen cannot look: a payment bears no mark, and since the plan there is operation 80002 of 5.00, 2026-02-03 (type
      2): it may be this row's, or somebody else's. Look in the billing which it is
  seen absent
an act says nothing of a payment once a probe has seen it
  known
  rows abonent_id;amount / 9001;5
  pending
  then operation 80004;9001;1;5
  seen absent
# run payment way=add_payment
  rows contract_number;amount / 00123;50,50 / 123;7
payments that cannot be told from others
  sent
  then update finance_operations set op_id = 80001, op_date = '2026-02-03' where abonent_id = 9001
  then operation 80002;9001;2;50.50;0
  then delete from finance_operations where abonent_id = 9002
  undo way=storno
  left which operation is its own cannot be told: operation 80001 of 50.50, 2026-02-03 (type 2), operation 80002 of
      50.50, 2026-02-03 (type 2). Take the right one back by hand
  left gone since: an operation of 7.00 is no longer there
the same payments of two subscribers, by storno
  then set generator gen_finance_operations_id to 90000
  then operation 80001;9001;2;50.50 / 80002;9002;2;1
  sent
  undo way=storno
  back
  sent
  read -50.5
  read -7
  seen found 90001
  seen found 90002
"""
"""A scene is a name, and below it what is done in order, and what is said then; under a # what scenes have in common.

    run JOB NAME=VALUE; …     a job, or `call MODEL: LINK → LINK`; `map NAME=COLUMN` and `rows`, split by /
    database, adds            only the database can tell; type 8 adds
    known                     a probe has seen the types of receipts and acts, and a storno that brings balances back
    plan                      the list is made; else it is at the first word that needs it
    item, bad LINE            an item: key, label (* is any), lane, what its call says or why it is skipped; a refusal
    like KEY: TEXT            what of others looks the same
    sent, told OUTCOME        each row is sent, and accepted, or with that outcome
    then STATEMENT            what somebody does; {0} is the first answer, {1} the second
    stands EXPRESSION = TEXT  what the billing has
    fresh                     what would be overwritten is read anew, as before a call
    pending, unsent           the state of the rows; no row has been sent
    seen, read, both TEXT     what a look and a reading say of each row, or both of them
    waits TEXT                what keeps an absence from being proved
    answer ID                 the answer that an undo knows of a row, where it is another
    undo NAME=VALUE / …       how an undo is asked for, each with the same outcome: `left TEXT`, `refuses TEXT`
    back                      the rows are now those of the undo

A statement is SQL, `put TABLE NAME;… = VALUE;… / …`, or `operation ID;SUBSCRIBER;TYPE;SUM;REVERSED;COMMENT / …`.
"""


def scenes(text: str) -> Mapping[str, Scene]:
    return dict(_scenes(text))


def _scenes(text: str) -> Iterator[tuple[str, Scene]]:
    common: list[str] = []
    for block in re.split(r"\n(?=\S)", text.strip("\n")):
        name, *lines = re.sub(r"\n {6,}", " ", block).splitlines()
        if name.startswith("# "):
            common = [name, *lines]
            continue
        lines = common + lines
        said = [re.sub(r"<(-?\d+)(?:\.(\d\d))?>", _month, line[2:]).partition(" ") for line in lines]
        yield name, [(word, [text for _, _, text in texts]) for word, texts in groupby(said, itemgetter(0))]


def _month(found: re.Match[str]) -> str:
    return first_of(int(found[1]))[:-2] + (found[2] or "01")


def pairs(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split("; ") if pair)


def carry_out(statements: Sequence[str], execute: Execute) -> None:
    """Do what somebody does behind the billing's back."""
    for statement in statements:
        word, _, rest = statement.partition(" ")
        if word == "operation":
            for row in rest.split(" / "):
                key, abonent, kind, amount, *more = row.split(";")
                names = "op_date op_id abonent_id op_type op_summa storno descr".rsplit(maxsplit=2 - len(more))[0]
                values = ("2026-02-03", key, abonent, kind, int(Decimal(amount) * SCALE), *more)
                execute.rows("finance_operations", names, values)
        elif word == "put":
            table, names, _, rows = rest.split(" ", 3)
            cells = ([cell or None for cell in row.split(";")] for row in rows.split(" / "))
            execute.rows(table, names.replace(";", " "), *cells)
        else:
            execute(statement)


@dataclass(slots=True)
class Stage:
    """Where a scene stands: the rows as items of a run, and what has been answered. A method is a word of a scene."""

    execute: Execute
    database: Database
    job: BillingJob
    effect: CallEffect
    words: Sequence[str]
    runs: list[Run] = field(default_factory=lambda: [making.RUN, making.UNDO_RUN, making.THIRD_RUN])
    done: Prepared = field(default_factory=lambda: Prepared((), ()))
    items: list[Item] = field(default_factory=list)
    answers: list[str | None] = field(default_factory=list)
    how: Sequence[Mapping[str, str]] = ({},)

    async def plan(self, _: Sequence[str]) -> None:
        self.done = await making.prepared(self.job)
        if "rows" not in self.words:
            # What a job selects itself has more than the odd ones.
            ours = tuple(one for one in self.done.items if 9000 < int(one.key) < FOLDER)
            self.done = Prepared(ours, self.done.refusals)
        assert self.done.refusals == () or "bad" in self.words
        assert self.done.items == () or "item" in self.words or "bad" not in self.words
        self.items = [sending_item(new, n) for n, new in enumerate(self.done.items, 1) if not new.skip_reason]

    async def item(self, lines: Sequence[str]) -> None:
        wanted = zip(lines, self.done.items, strict=True)
        assert [line_of(one) for one in self.done.items] == [line.replace("*", one.label) for line, one in wanted]

    async def bad(self, lines: Sequence[str]) -> None:
        assert [f"{one.line} {one.column}: {one.reason}" for one in self.done.refusals] == lines

    async def like(self, lines: Sequence[str]) -> None:
        found = await self.job.find_entries(self.done.items)
        assert [f"{key}: {text}" for key, one in found.items() for text in alike(one)] == lines

    async def sent(self, times: Sequence[str]) -> None:
        for _ in times:
            self.items = await making.sent(self.effect, self.items, self.runs[0])
            self.answers += [item.answer for item in self.items]

    async def told(self, lines: Sequence[str]) -> None:
        evidence = [await self.effect.send(self.runs[0], item) for item in self.items]
        assert [outcome(one) for one in evidence] == lines
        answers = [one.answer if isinstance(one, Accepted) else None for one in evidence]
        pairs_ = zip(self.items, answers, strict=True)
        self.items = [msgspec.structs.replace(item, answer=answer or item.answer) for item, answer in pairs_]

    async def then(self, statements: Sequence[str]) -> None:
        carry_out(statements, self.execute)

    async def stands(self, lines: Sequence[str]) -> None:
        for line in lines:
            expression, value = line.rsplit(" = ", 1)
            assert [str(cell).strip() for (cell,) in self.database.query(f"select {expression}")] == [value]

    async def fresh(self, _: Sequence[str]) -> None:
        self.items = await making.with_fresh_before_images(self.effect, self.items)

    async def pending(self, _: Sequence[str]) -> None:
        self.items = [msgspec.structs.replace(item, state=State.PENDING) for item in self.items]

    async def unsent(self, _: Sequence[str]) -> None:
        self.items = [msgspec.structs.replace(item, attempts=0) for item in self.items]

    async def seen(self, lines: Sequence[str]) -> None:
        assert [sight(one) for one in await making.sightings(self.effect, self.items, self.runs[0])] == lines

    async def read(self, lines: Sequence[str]) -> None:
        found = await making.readings(self.effect, self.items, self.runs[0])
        assert [f"{one.amount}: {one.difference}".removesuffix(": None") for one in found] == lines

    async def both(self, lines: Sequence[str]) -> None:
        await self.seen(lines)
        await self.read([f"None: {line.split(': ', 1)[1]}" for line in lines])

    async def waits(self, lines: Sequence[str]) -> None:
        assert [str(await self.effect.unfinished_work(self.items))] == lines

    async def answer(self, lines: Sequence[str]) -> None:
        known = zip(self.items, lines, strict=True)
        self.items = [msgspec.structs.replace(item, answer=line or None) for item, line in known]

    async def undo(self, lines: Sequence[str]) -> None:
        self.how = [pairs(how) for how in lines[0].split(" / ")]

    async def left(self, lines: Sequence[str]) -> None:
        for how in self.how:
            done = (await making.undone(self.effect, self.items, self.runs[0], **how)).done
            assert [one.skip_reason for one in done.items] == lines
            assert done.refusals == () or "refuses" in self.words

    async def refuses(self, lines: Sequence[str]) -> None:
        for how in self.how:
            done = (await making.undone(self.effect, self.items, self.runs[0], **how)).done
            assert [one.reason for one in done.refusals] == lines
            assert done.items == () or "left" in self.words

    async def back(self, _: Sequence[str]) -> None:
        undo = await making.undone(self.effect, self.items, self.runs[0], **self.how[0])
        self.effect, self.done, self.items = undo.effect, undo.done, undo.items
        del self.runs[0]


KNOWN: Final = Profile(receipt_type=Fact(2), act_type=Fact(1), storno_type_8=Fact(StornoEffect.RESTORES))
SET_UP: Final = {"run", "call", "map", "rows", "database", "adds", "known"}


@pytest.fixture
def scene() -> Scene:
    """None, where no row of a table is one."""
    return ()


@pytest.fixture
def quirks(scene: Scene) -> Quirks:
    """An entry of type 8 adds to the balance where the scene has that."""
    return Quirks(type_8="adds" if "adds" in dict(scene) else "sets")


@pytest.mark.parametrize("scene", scenes(SCENES).values(), ids=list(scenes(SCENES)))
async def test_what_is_said_of_rows_at_each_stage(
    gateway: Gateway, execute: Execute, database: Database, scene: Scene
) -> None:
    said = {word: texts[-1] for word, texts in scene if word in SET_UP}
    if "database" in said and not gateway.database:
        return
    if "known" in said:
        gateway = replace(gateway, profile=KNOWN)
    if "call" in said:
        model, chain = said["call"].split(": ", 1)
        job_name, given = CALL, {"model": model, "chain": chain_text(chain.split(" → "))}
    else:
        job_name, _, parameters = said["run"].partition(" ")
        given = pairs(parameters)
    kind = BUILT_IN.kind(job_name, given)
    text, mapping = said.get("rows", "").replace(" / ", "\n") + "\n", pairs(said.get("map", ""))
    job = making.job_of(gateway, kind, making.rows_of(text, **mapping) if "rows" in said else Input(), **given)
    words = [word for word, _ in scene]
    stage = Stage(execute, database, job, making.effect_of(gateway, kind, **given), words)
    rest = [(word, texts) for word, texts in scene if word not in SET_UP]
    if "plan" not in words:
        rest.insert(1 if rest[0][0] == "then" else 0, ("plan", []))
    for word, texts in rest:
        await getattr(stage, word)([text.format(*stage.answers) for text in texts])


def line_of(item: NewItem) -> str:
    if item.skip_reason:
        return f"{item.key}: {item.skip_reason}"
    steps = decode_payload(item.payload).steps
    said = [str(value) for step in steps if step.method != "objects.get" for value in step.arguments.values()]
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


def outcome(evidence: Seen) -> str:
    if isinstance(evidence, Accepted):
        return f"Accepted{', unproven' if evidence.unproven else ''}: {evidence.note or evidence.answer}"
    return f"{type(evidence).__name__}: {evidence.text}"


# ---- what somebody else does between list and calls: what they have done stays, and nothing reaches others ---------


OPPOSITE: Final = {"way": "opposite"}
OTHERS: Final = """
has deleted it
  run delete-services
  rows id / 90001 / 90002
  then update users_usluga set deleted = 1 where id = 90001
  is skipped 90001: already as wanted: somebody else has deleted UsersUsluga 90001 since the list was made
  is accepted 90002
has given the attribute
  database
  run attribute
  rows contract_number;attribute_id;attribute_value / 00123;1012;телеграм / A15;7;0015 / 123;7;1
  then put attribute_values id;abonent_id;attribute_id;attribute_value = 90001;9001;1012;телеграм /
      90002;9003;7;другое
  is skipped 9001/1012: already as wanted: somebody else has made it since the list was made (id 90001)
  is rejected 9003/7: there already since the list was made, and different: sent attribute_value
  is accepted 9002/7
has renamed the login
  run snat-pool
  rows login;pool / ivanov;5 / petrov;5
  then update users set login = login || '-old' where id = 90001
  is rejected 90001: login ivanov was account 90001 when the list was made, and now it is nobody's
  is accepted 90002
has renamed the number
  run payment
  rows contract_number;amount / A15;50
  then update abonents set contract_number = 'A16' where id = 9003
  is rejected 9003: and now it is nobody's alone
has merged an account whose fields are set
  run warning-threshold amount=-77
  rows contract_number / A15 / 00123
  then update abonents set account_id = 9002 where id = 9003
  is rejected 9003: abonent 9003 had account 9003, and now it has account 9002, whose fields this would set
  is accepted 9001
has set fields, one of them as wanted
  database
  run warning-threshold
  rows contract_number;amount / 00123;-77 / A15;-77 / 123;-77
  then update admin_accounts set limit_warning = -50000000000 where id = 9003
  then update admin_accounts set limit_warning = -770000000000 where id = 9002
  is accepted 9001
  is accepted 9003
  is accepted 9002
  overwritten 1, 0
# run balances
  rows contract_number;amount / A15;100 / 123;70
has given the number to another
  rows contract_number;amount / 00123;129.22 / 77/2;1
  then update abonents set contract_number = '00123-old' where id = 9001
  then update abonents set contract_number = '00123' where id = 9003
  is rejected 9001/8: given to another subscriber since: contract number 00123 was abonent 9001 when the list was
      made, and now it is abonent 9003
  is accepted 9010/8
has moved the number of a row by its id
  rows abonent_id;amount / 9001;129.22
  then update abonents set contract_number = '00123-old' where id = 9001
  then update abonents set contract_number = '00123' where id = 9003
  is accepted 9001/8
has moved the number after the call
  database
  rows contract_number;amount / 00123;129.22 / A15;1
  is accepted 9001/8
  is accepted 9003/8
  then update abonents set contract_number = '00123-old' where id = 9001
  then update abonents set contract_number = '00123' where id = 9003
  verify 00123: given to another subscriber since: contract number 00123 was abonent 9001 when the list was made
  verify A15
has paid
  then operation 900001;9003;2;50
  is rejected 9003/8: changed since the list was made: 50.00 came to the account, and this row would set its balance
      over it: operation 900001 of 50.00, 2026-02-03. Entered again as it is, the row replaces that too: add it to the
      row's sum, or leave the row out
  is accepted 9002/8
  again
  is accepted 9003/8
  is skipped 9002/8
has paid to the account for another
  database
  rows contract_number;amount / 00123;100
  then operation 900001;9008;2;50
  is rejected 9001/8: operation 900001 of 50.00
has paid where type 8 adds
  adds
  then operation 900001;9003;2;50
  is accepted 9003/8
  is accepted 9002/8
has paid after the last look, just before the call
  database
  rows contract_number;amount / A15;100
  late operation 900001;9003;2;50
  is accepted 9003/8
  verify A15: overwritten: 50.00 came to the account after the list was made and before this row set its balance:
      operation 900001 of 50.00, 2026-02-03
has paid between the list of an undo and its calls
  database
  is accepted 9003/8
  is accepted 9002/8
  undo way=opposite
  then update admin_accounts set debit = debit + 500000000000 where id = 9003
  is rejected run/1: changed since the plan: the balance was 100.00, and now it is 150.00
  is accepted run/2
has reversed an operation between the list of an undo and its calls
  database
  known
  is accepted 9003/8
  is accepted 9002/8
  undo way=storno; storno_call=storno
  then update finance_operations set storno = 1 where abonent_id = 9003
  is skipped run/1
  is accepted run/2
has merged the account of a number
  rows contract_number;amount / A15;100
  then update abonents set account_id = 9002 where id = 9003
  is rejected 9003/8: abonent 9003 had account 9003, and now it has account 9002
"""
"""Words as above; `then` is between list and calls, or before `verify`, `late` in the last moment before a call.

    is STATE KEY: TEXT        what becomes of each row; of those of an undo by their numbers
    verify LABEL: TEXT        what `verify` says of those that differ
    overwritten ROWS, SUM     what the run counts of it
    undo NAME=VALUE, again    the next run takes this one back, or has its rows once more
"""


@pytest.fixture
def things(execute: Execute) -> None:
    for key, login in ((90001, "ivanov"), (90002, "petrov")):
        execute.put("users_usluga", id=key, abonent_id=9001, usluga_id=126, manager_id=33)
        execute.put("users", id=key, abonent_id=9001, login=login, enabled=1)


class ActingLate:
    """Sends the calls of a job when something has been done in the last moment."""

    def __init__(self, job: BillingJob, act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
        self._send, self._act = job.effect.send, act
        monkeypatch.setattr(job.effect, "send", self.send)

    async def send(self, run: Run, item: Item) -> Seen:
        self._act()
        return await self._send(run, item)


@pytest.mark.parametrize("scene", scenes(OTHERS).values(), ids=list(scenes(OTHERS)))
@pytest.mark.usefixtures("things")
async def test_what_somebody_else_does_between_list_and_calls_stands(
    gateway: Gateway,
    journal: Journal,
    database: Database,
    execute: Execute,
    scene: Scene,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A row that would undo it, or reach another, is not sent, and says so; an undo touches the run's own alone."""
    said = {word: texts[-1] for word, texts in scene}
    if "database" in said and not gateway.database:
        return
    profiles = {"adds": Profile(type_8=Fact(TypeEight.ADDS, None, Standing.ASSUMED)), "known": KNOWN}
    gateway = next((replace(gateway, profile=one) for word, one in profiles.items() if word in said), gateway)
    name, _, given = said["run"].partition(" ")
    rows = making.rows_of(said["rows"].replace(" / ", "\n") + "\n")
    job: BillingJob = making.job_of(gateway, BUILT_IN.named(name), rows, **pairs(given))
    run, theirs, then, differs = making.RUN, Tables(), list[str](), dict[str, str]()

    def act() -> None:
        carry_out(then, execute)
        if not theirs:
            execute("set generator gen_finance_operations_id to 900100")
        theirs.update(whole(database))
        then.clear()

    def report(item: Item, reading: ReadBack | CannotLook) -> None:
        if isinstance(reading, ReadBack):
            differs[item.label] = reading.difference or ""

    def back_of(**how: str) -> UndoJob:
        back = job.effect.undo(how)
        assert isinstance(back, CallEffect)
        return UndoJob(gateway, journal, EarlierItems(run, journal), back)

    for word, lines in scene:
        told = [line.partition(": ")[::2] for line in lines]
        if word in {"then", "late"}:
            then += lines
        if word == "late":
            ActingLate(job, act, monkeypatch)
        elif word == "undo":
            job = back_of(**pairs(lines[0]))
        elif word == "again":
            job = making.job_of(gateway, BUILT_IN.named(name), rows)
        elif word == "is":
            earlier = f"{run.name}/"
            run = await carried_out(job, journal, (lambda: None) if "late" in said else act)
            became = await states(journal, run)
            found = {f"{state} {key.replace(earlier, 'run/')}": text for key, (state, text) in became.items()}
            assert list(found) == [key for key, _ in told]
            assert all(text in found[key] for key, text in told)
            taken = {key.split()[1].split("/")[0] for key in found if key.startswith(State.ACCEPTED)}
            made = new_rows(changes(theirs, whole(database)), "FINANCE_OPERATIONS")
            assert isinstance(job, UndoJob) or {str(row["ABONENT_ID"]) for row in made} <= taken
        elif word == "verify":
            act()
            await verify(run, job, journal, report)
            assert list(differs) == [label for label, _ in told]
            assert all(text in differs[label] for label, text in told)
        elif word == "overwritten":
            counted = await overwritten(run, journal)
            assert lines == [f"{counted.rows}, {counted.amount}"]
    if {"undo", "again"} & said.keys():
        return
    await carried_out(back_of(**({"balances": OPPOSITE, "payment": OPPOSITE}.get(name, {}))), journal)
    left = changes(theirs, whole(database))
    # What their hands have made, or have deleted, is as they left it.
    assert not any({90001, 900001} & rows.keys() for rows in left.values())
