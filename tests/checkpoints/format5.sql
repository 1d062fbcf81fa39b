-- A journal that the program of format 5 has written, as the sqlite3 shell dumps it: run x36kb is at its end, with two
-- refused rows; run j72sq is approved, and has sent nothing, for its first row would have passed --limit-money.
pragma application_id = 0x434D4A31;
pragma user_version = 5;
BEGIN TRANSACTION;
CREATE TABLE commands (
    command_id integer primary key,
    run_id     integer not null references runs,
    given_at   text not null,
    who        text not null,             -- user, host and process
    command    text not null,             -- as typed: `pause`, `set rate=20`
    answer     text not null
) strict;
CREATE TABLE decisions (
    decision_id integer primary key,
    item_id     integer not null references items,
    decided_at  text not null,
    who         text not null,
    state       text not null,
    why         text not null
) strict;
CREATE TABLE items (
    item_id    integer primary key,
    run_id     integer not null references runs,
    number     integer not null,          -- counts from 1 within the run; part of the mark
    key        text not null,             -- the business key, which must not be entered twice
    label      text not null,             -- the name for people
    lane       text not null,             -- the billing's account; one write at a time in a lane
    payload    text not null,             -- JSON, the data of the call
    amount     text,
    wanted     text,                      -- the values that the row asks for if there is no amount
    line       integer,                   -- of the input file
    row        text not null,             -- JSON array, the input's own cells
    state      text not null,
    attempts   integer not null default 0,
    answer     text,                      -- the billing's answer: the new id
    message    text,                      -- the error, or the reason why it was skipped
    undoes     integer references items,  -- the item of an earlier run that this one takes back
    taken_back integer not null default 0,      -- 1 if its effect was taken back and not restored since
    carried_by integer references items,  -- the item whose call includes this row; this one is skipped
    row_amount text,                      -- the row's own amount, if its item has another one
    frozen_at  text not null,
    sent_at    text,
    changed_at text not null
) strict;
INSERT INTO "items" VALUES(1,1,1,'94/8','Д94/2018','account:1025','{"model":"FinanceOperations","steps":[["objects.create",{"abonent_id":94,"op_summa":"-0.01","op_type_id":8,"descr":"Миграция балансов"}]],"abonent":94,"key":{"abonent_id":"94","op_type_id":"8"},"wanted":{"op_summa":"-0.01"},"was":{"balance":"-12.00"}}','-0.01',NULL,2,'["Д94/2018","-0,01"]','accepted',1,'474',NULL,NULL,0,NULL,NULL,'2026-11-26T14:09:21.495+00:00','2026-11-26T14:09:21.518+00:00','2026-11-26T14:09:21.530+00:00');
INSERT INTO "items" VALUES(2,1,2,'1111/8','test','account:1026','{"model":"FinanceOperations","steps":[["objects.create",{"abonent_id":1111,"op_summa":"0.08","op_type_id":8,"descr":"Миграция балансов"}]],"abonent":1111,"key":{"abonent_id":"1111","op_type_id":"8"},"wanted":{"op_summa":"0.08"},"was":{"balance":"0.00"}}','0.08',NULL,3,'["test","0,08"]','accepted',1,'475',NULL,NULL,0,NULL,NULL,'2026-11-26T14:09:21.495+00:00','2026-11-26T14:09:21.533+00:00','2026-11-26T14:09:21.537+00:00');
INSERT INTO "items" VALUES(3,2,1,'1392/8','Д1392/2018','account:1027','{"model":"FinanceOperations","steps":[["objects.create",{"abonent_id":1392,"op_summa":"0.15","op_type_id":8,"descr":"Миграция балансов"}]],"abonent":1392,"key":{"abonent_id":"1392","op_type_id":"8"},"wanted":{"op_summa":"0.15"},"was":{"balance":"300.00"}}','0.15',NULL,2,'["Д1392/2018","0,15"]','pending',0,NULL,NULL,NULL,0,NULL,NULL,'2026-11-26T14:09:24.935+00:00',NULL,'2026-11-26T14:09:24.935+00:00');
INSERT INTO "items" VALUES(4,2,2,'2001/8','00001','account:1','{"model":"FinanceOperations","steps":[["objects.create",{"abonent_id":2001,"op_summa":"0.22","op_type_id":8,"descr":"Миграция балансов"}]],"abonent":2001,"key":{"abonent_id":"2001","op_type_id":"8"},"wanted":{"op_summa":"0.22"},"was":{"balance":"-899.31"}}','0.22',NULL,3,'["00001","0,22"]','pending',0,NULL,NULL,NULL,0,NULL,NULL,'2026-11-26T14:09:24.935+00:00',NULL,'2026-11-26T14:09:24.935+00:00');
INSERT INTO "items" VALUES(5,2,3,'2002/8','АБ-00002','account:2','{"model":"FinanceOperations","steps":[["objects.create",{"abonent_id":2002,"op_summa":"0.29","op_type_id":8,"descr":"Миграция балансов"}]],"abonent":2002,"key":{"abonent_id":"2002","op_type_id":"8"},"wanted":{"op_summa":"0.29"},"was":{"balance":"727.61"}}','0.29',NULL,4,'["АБ-00002","0,29"]','pending',0,NULL,NULL,NULL,0,NULL,NULL,'2026-11-26T14:09:24.935+00:00',NULL,'2026-11-26T14:09:24.935+00:00');
INSERT INTO "items" VALUES(6,2,4,'2003/8','00003','account:3','{"model":"FinanceOperations","steps":[["objects.create",{"abonent_id":2003,"op_summa":"0.36","op_type_id":8,"descr":"Миграция балансов"}]],"abonent":2003,"key":{"abonent_id":"2003","op_type_id":"8"},"wanted":{"op_summa":"0.36"},"was":{"balance":"1875.99"}}','0.36',NULL,5,'["00003","0,36"]','pending',0,NULL,NULL,NULL,0,NULL,NULL,'2026-11-26T14:09:24.935+00:00',NULL,'2026-11-26T14:09:24.935+00:00');
INSERT INTO "items" VALUES(7,2,5,'2004/8','00004','account:4','{"model":"FinanceOperations","steps":[["objects.create",{"abonent_id":2004,"op_summa":"0.43","op_type_id":8,"descr":"Миграция балансов"}]],"abonent":2004,"key":{"abonent_id":"2004","op_type_id":"8"},"wanted":{"op_summa":"0.43"},"was":{"balance":"3787.08"}}','0.43',NULL,6,'["00004","0,43"]','pending',0,NULL,NULL,NULL,0,NULL,NULL,'2026-11-26T14:09:24.935+00:00',NULL,'2026-11-26T14:09:24.935+00:00');
INSERT INTO "items" VALUES(8,2,6,'2005/8','00005','account:5','{"model":"FinanceOperations","steps":[["objects.create",{"abonent_id":2005,"op_summa":"0.50","op_type_id":8,"descr":"Миграция балансов"}]],"abonent":2005,"key":{"abonent_id":"2005","op_type_id":"8"},"wanted":{"op_summa":"0.5"},"was":{"balance":"-381.71"}}','0.50',NULL,7,'["00005","0,50"]','pending',0,NULL,NULL,NULL,0,NULL,NULL,'2026-11-26T14:09:24.935+00:00',NULL,'2026-11-26T14:09:24.935+00:00');
INSERT INTO "items" VALUES(9,2,7,'2006/8','00006','account:6','{"model":"FinanceOperations","steps":[["objects.create",{"abonent_id":2006,"op_summa":"0.57","op_type_id":8,"descr":"Миграция балансов"}]],"abonent":2006,"key":{"abonent_id":"2006","op_type_id":"8"},"wanted":{"op_summa":"0.57"},"was":{"balance":"1380.99"}}','0.57',NULL,8,'["00006","0,57"]','pending',0,NULL,NULL,NULL,0,NULL,NULL,'2026-11-26T14:09:24.935+00:00',NULL,'2026-11-26T14:09:24.935+00:00');
INSERT INTO "items" VALUES(10,2,8,'2007/8','00007','account:7','{"model":"FinanceOperations","steps":[["objects.create",{"abonent_id":2007,"op_summa":"-0.64","op_type_id":8,"descr":"Миграция балансов"}]],"abonent":2007,"key":{"abonent_id":"2007","op_type_id":"8"},"wanted":{"op_summa":"-0.64"},"was":{"balance":"-216.93"}}','-0.64',NULL,9,'["00007","-0,64"]','pending',0,NULL,NULL,NULL,0,NULL,NULL,'2026-11-26T14:09:24.935+00:00',NULL,'2026-11-26T14:09:24.935+00:00');
INSERT INTO "items" VALUES(11,2,9,'2009/8','АБ-00009','account:9','{"model":"FinanceOperations","steps":[["objects.create",{"abonent_id":2009,"op_summa":"0.71","op_type_id":8,"descr":"Миграция балансов"}]],"abonent":2009,"key":{"abonent_id":"2009","op_type_id":"8"},"wanted":{"op_summa":"0.71"},"was":{"balance":"2269.59"}}','0.71',NULL,10,'["АБ-00009","0,71"]','pending',0,NULL,NULL,NULL,0,NULL,NULL,'2026-11-26T14:09:24.935+00:00',NULL,'2026-11-26T14:09:24.935+00:00');
INSERT INTO "items" VALUES(12,2,10,'2010/8','00010','account:10','{"model":"FinanceOperations","steps":[["objects.create",{"abonent_id":2010,"op_summa":"0.78","op_type_id":8,"descr":"Миграция балансов"}]],"abonent":2010,"key":{"abonent_id":"2010","op_type_id":"8"},"wanted":{"op_summa":"0.78"},"was":{"balance":"1600.74"}}','0.78',NULL,11,'["00010","0,78"]','pending',0,NULL,NULL,NULL,0,NULL,NULL,'2026-11-26T14:09:24.935+00:00',NULL,'2026-11-26T14:09:24.935+00:00');
INSERT INTO "items" VALUES(13,2,11,'2011/8','00011','account:11','{"model":"FinanceOperations","steps":[["objects.create",{"abonent_id":2011,"op_summa":"0.85","op_type_id":8,"descr":"Миграция балансов"}]],"abonent":2011,"key":{"abonent_id":"2011","op_type_id":"8"},"wanted":{"op_summa":"0.85"},"was":{"balance":"689.32"}}','0.85',NULL,12,'["00011","0,85"]','pending',0,NULL,NULL,NULL,0,NULL,NULL,'2026-11-26T14:09:24.935+00:00',NULL,'2026-11-26T14:09:24.935+00:00');
INSERT INTO "items" VALUES(14,2,12,'2012/8','00012','account:12','{"model":"FinanceOperations","steps":[["objects.create",{"abonent_id":2012,"op_summa":"0.92","op_type_id":8,"descr":"Миграция балансов"}]],"abonent":2012,"key":{"abonent_id":"2012","op_type_id":"8"},"wanted":{"op_summa":"0.92"},"was":{"balance":"1575.33"}}','0.92',NULL,13,'["00012","0,92"]','pending',0,NULL,NULL,NULL,0,NULL,NULL,'2026-11-26T14:09:24.935+00:00',NULL,'2026-11-26T14:09:24.935+00:00');
CREATE TABLE purging (
    secret     text not null,
    is_cleaned integer not null default 1 -- 0 while removed texts may still be in free pages of this file or its log
) strict;
CREATE TABLE refusals (
    refusal_id  integer primary key,
    run_id      integer not null references runs,
    line        integer,
    column_name text,
    label       text not null,
    reason      text not null,
    row         text not null,
    conflict    text,
    mended_at   text                      -- corrected with `--continue`; no longer counts as refused
) strict;
INSERT INTO "refusals" VALUES(1,1,4,'contract_number','nobody','there is no contract number ''nobody'', nor one like it','["nobody","5,00"]',NULL,NULL);
INSERT INTO "refusals" VALUES(2,1,5,'amount','00003','''x'' (column 2): ''x'' is not an amount','["00003","x"]',NULL,NULL);
CREATE TABLE reports (
    report_id integer primary key,
    run_id    integer not null references runs,
    made_at   text not null,
    root      text not null,              -- the Merkle root over the items, hexadecimal
    unique (run_id, root)
) strict;
CREATE TABLE runners (
    run_id   integer not null references runs,
    epoch    integer not null,
    purpose  text not null,               -- the command
    who      text not null,               -- user and host
    host     text not null,
    process  integer not null,
    version  text not null,               -- of the program
    billing  text not null,               -- the version that the billing reported, '' if it was not asked
    began_at text not null,
    ended_at text,
    primary key (run_id, epoch)
) strict, without rowid;
INSERT INTO "runners" VALUES(1,1,'run','olga@console','console',25526,'0.1.0','5.24.06','2026-11-26T14:09:21.365+00:00','2026-11-26T14:09:21.543+00:00');
INSERT INTO "runners" VALUES(2,1,'run','olga@console','console',25581,'0.1.0','5.24.06','2026-11-26T14:09:24.862+00:00','2026-11-26T14:09:24.955+00:00');
CREATE TABLE runs (
    run_id        integer primary key,
    name          text not null unique,   -- the short word that the operator types, part of every mark
    job           text not null,
    parameters    text not null,          -- JSON object, the job's parameters as typed
    target        text not null,          -- the address of the REST API
    source        text not null,          -- the file or the query of the rows
    source_digest text not null,          -- SHA-256 of a file, '' for a query
    header        text not null,          -- JSON array, the input's own column names
    policy        text not null default '{}',   -- JSON object, the settings that differ from their defaults
    left_out      text not null default '{}',   -- JSON object, the number of rows left out, by flag
    cursor        text,                   -- the position in the source after the last frozen page
    created_at    text not null,
    frozen_at     text,                   -- the list of items is complete
    approved_at   text,                   -- sending is allowed
    discarded_at  text,                   -- given up before anything was sent
    paused_at     text,                   -- sends nothing until a person continues it
    paused_by     text,
    epoch         integer not null default 0,   -- how often it was taken up; writes under an older epoch are refused
    purged_at     text,                   -- names and values of its rows were removed
    purged_totals text                    -- JSON object, its totals if sums of rows were removed as well
) strict;
INSERT INTO "runs" VALUES(1,'x36kb','balances','{"abonent_id":"","contract_number":"","amount":"","op_type":"8","descr":"Миграция балансов","input_file":"/srv/loads/first.csv"}','http://127.0.0.1:8082','/srv/loads/first.csv','e43a5b992f157659604ffc6c9fd5e1a5541982db566daa47623ab84e962f633a','["contract_number","amount"]','{"settle":"0.1"}','{}','5','2026-11-26T14:09:21.359+00:00','2026-11-26T14:09:21.497+00:00','2026-11-26T14:09:21.503+00:00',NULL,NULL,NULL,1,NULL,NULL);
INSERT INTO "runs" VALUES(2,'j72sq','balances','{"abonent_id":"","contract_number":"","amount":"","op_type":"8","descr":"Миграция балансов","input_file":"/srv/loads/second.csv"}','http://127.0.0.1:8082','/srv/loads/second.csv','4082bed214d35cb7556ff609c0c392fba6cd04bf09b4ab750aa1cf84c994ad1f','["contract_number","amount"]','{"limit-money":"0.05","settle":"0.1"}','{}','13','2026-11-26T14:09:24.828+00:00','2026-11-26T14:09:24.937+00:00','2026-11-26T14:09:24.942+00:00',NULL,NULL,NULL,1,NULL,NULL);
CREATE TABLE states (
    state        text primary key,
    open         integer not null,        -- the run still has work to do on it
    settled      integer not null,        -- no work is left on it, neither for the run nor for a person
    in_effect    integer not null,        -- the billing accepted it
    counts_money integer not null,        -- its effect is in the billing, or may be
    to_send      integer not null         -- it is to be sent, or is being sent
) strict, without rowid;
INSERT INTO "states" VALUES('accepted',0,1,1,1,0);
INSERT INTO "states" VALUES('applied',0,1,1,1,0);
INSERT INTO "states" VALUES('manual',0,0,0,1,0);
INSERT INTO "states" VALUES('pending',1,0,0,0,1);
INSERT INTO "states" VALUES('rejected',0,1,0,0,0);
INSERT INTO "states" VALUES('replaced',0,1,0,0,0);
INSERT INTO "states" VALUES('sending',1,0,0,1,1);
INSERT INTO "states" VALUES('skipped',0,1,0,0,0);
INSERT INTO "states" VALUES('unknown',1,0,0,1,0);
CREATE TABLE transitions (
    source text not null,
    target text not null,
    primary key (source, target)
) strict, without rowid;
INSERT INTO "transitions" VALUES('','pending');
INSERT INTO "transitions" VALUES('','skipped');
INSERT INTO "transitions" VALUES('accepted','applied');
INSERT INTO "transitions" VALUES('accepted','unknown');
INSERT INTO "transitions" VALUES('manual','accepted');
INSERT INTO "transitions" VALUES('manual','pending');
INSERT INTO "transitions" VALUES('pending','sending');
INSERT INTO "transitions" VALUES('pending','skipped');
INSERT INTO "transitions" VALUES('rejected','replaced');
INSERT INTO "transitions" VALUES('sending','accepted');
INSERT INTO "transitions" VALUES('sending','pending');
INSERT INTO "transitions" VALUES('sending','rejected');
INSERT INTO "transitions" VALUES('sending','unknown');
INSERT INTO "transitions" VALUES('unknown','accepted');
INSERT INTO "transitions" VALUES('unknown','manual');
INSERT INTO "transitions" VALUES('unknown','pending');
CREATE TABLE verifications (
    verification_id integer primary key,
    run_id          integer not null references runs,
    verified_at     text not null,
    who             text not null,
    result          text not null         -- JSON object, counts and sums
) strict;
CREATE UNIQUE INDEX items_by_run on items (run_id, number);
CREATE INDEX items_by_key on items (key);
CREATE INDEX items_by_lane on items (run_id, lane);
CREATE INDEX items_by_undoes on items (undoes) where undoes is not null;
CREATE INDEX items_by_carrier on items (carried_by) where carried_by is not null;
CREATE INDEX items_by_answer on items (run_id, answer) where answer glob '[0-9]*';
CREATE INDEX refusals_by_run on refusals (run_id);
CREATE INDEX decisions_by_item on decisions (item_id);
CREATE INDEX commands_by_run on commands (run_id);
CREATE INDEX verifications_by_run on verifications (run_id);
CREATE TRIGGER items_enter before insert on items
when not exists (select 1 from transitions where source = '' and target = new.state)
begin
    select raise(abort, 'forbidden transition: a new item cannot begin in this state');
end;
CREATE TRIGGER items_step before update of state on items
when not exists (select 1 from transitions where source = old.state and target = new.state)
begin
    select raise(abort, 'forbidden transition: this state cannot follow that one');
end;
CREATE TRIGGER items_skip before update of state on items
when old.state = 'pending' and new.state = 'skipped'
    and exists (select 1 from runs where run_id = new.run_id and approved_at is not null)
begin
    select raise(abort, 'forbidden transition: a row of an approved run is not skipped');
end;
CREATE TRIGGER items_take_back after update of state on items
when new.undoes is not null
    and new.state in (select state from states where in_effect)
    and old.state not in (select state from states where in_effect)
begin
    update items set taken_back = 1 where item_id = new.undoes;
end;
CREATE TRIGGER items_doubt_undo after update of state on items
when new.undoes is not null
    and old.state in (select state from states where in_effect)
    and new.state not in (select state from states where in_effect)
begin
    update items set taken_back = 0 where item_id = new.undoes;
end;
CREATE TRIGGER items_restore after update of taken_back on items
when new.undoes is not null and new.taken_back <> old.taken_back
begin
    update items set taken_back = 1 - new.taken_back where item_id = new.undoes;
end;
CREATE VIEW effects as
select i.item_id, i.run_id, i.key, coalesce(i.row_amount, i.amount) as amount, i.wanted, c.state, i.line, c.changed_at
from items i
join items c on c.item_id = coalesce(i.carried_by, i.item_id)
where c.state in (select state from states where in_effect or not settled)
  and (c.taken_back = 0 or exists (
      with recursive behind (item_id, state) as (
          select u.item_id, u.state from items u where u.undoes = c.item_id
          union all
          select u.item_id, u.state from behind b join items u on u.undoes = b.item_id
      )
      select 1 from behind where state in (select state from states where not settled)
  ));
COMMIT;
