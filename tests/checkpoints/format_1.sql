-- A journal of format 1: the `.dump` of one that the version of that format wrote against a mock billing, all its runs at
-- their ends. Two are opening balances, the second begun with --again; one is receipts; one is of warning thresholds;
-- one was given up.
PRAGMA journal_mode=WAL;
PRAGMA application_id=1129138737;
PRAGMA user_version=1;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE runs (
    run_id        integer primary key,
    name          text not null unique,   -- the short word that the operator types and that stands in every mark
    job           text not null,
    parameters    text not null,          -- JSON object, the job's parameters as typed
    target        text not null,          -- the REST API that it writes to
    source        text not null,          -- the file or the query that the rows come from
    source_digest text not null,          -- SHA-256 of a file, '' for a query
    header        text not null,          -- JSON array, the input's own column names
    cursor        text,                   -- where the source goes on after the last frozen page
    created_at    text not null,
    frozen_at     text,                   -- the list of items is complete
    approved_at   text,                   -- sending is allowed
    discarded_at  text                    -- given up before anything was sent
) strict;
INSERT INTO runs VALUES(1,'dmkvw','balances','{"descr":"Миграция балансов","op_type":"8","key":"","key_column":"","amount_column":"","encoding":"auto","input_file":"/home/billing/opening.csv"}','http://127.0.0.1:8082','/home/billing/opening.csv','c300a2d3ed379bb39091bcbae0876ea06bbb2d9b4e783cf6a930161aa2cf57fd','["abonent_id","amount"]','4','2026-11-25T10:43:14.439+00:00','2026-11-25T10:43:14.495+00:00','2026-11-25T10:43:14.497+00:00',NULL);
INSERT INTO runs VALUES(2,'jw222','balances','{"descr":"Сверка за май","op_type":"1","key":"contract_number","key_column":"Договор","amount_column":"","encoding":"auto","input_file":"/home/billing/receipts.csv"}','http://127.0.0.1:8082','/home/billing/receipts.csv','bb227c35e8affe58cbd59e1849d731f986d0c2a000dc83c18bc568ecd299e84c','["Договор","op_summa"]','3','2026-11-25T10:43:24.368+00:00','2026-11-25T10:43:24.417+00:00','2026-11-25T10:43:24.423+00:00',NULL);
INSERT INTO runs VALUES(3,'9vbda','balances','{"descr":"Миграция балансов","op_type":"8","key":"","key_column":"","amount_column":"","encoding":"auto","input_file":"/home/billing/opening.csv","entered_again":"yes"}','http://127.0.0.1:8082','/home/billing/opening.csv','c300a2d3ed379bb39091bcbae0876ea06bbb2d9b4e783cf6a930161aa2cf57fd','["abonent_id","amount"]','4','2026-11-25T10:43:27.797+00:00','2026-11-25T10:43:27.861+00:00','2026-11-25T10:43:27.876+00:00',NULL);
INSERT INTO runs VALUES(4,'9ukmz','warning-threshold','{"from":"amount","folder":"1316","amount":"-120"}','http://127.0.0.1:8082','subscribers of folder 1316','','["abonent_id","account_id","limit_warning","wanted"]','2020','2026-11-25T10:43:31.045+00:00','2026-11-25T10:43:31.083+00:00','2026-11-25T10:43:31.053+00:00',NULL);
INSERT INTO runs VALUES(5,'8zh5d','balances','{"descr":"Миграция балансов","op_type":"8","key":"","key_column":"","amount_column":"","encoding":"auto","input_file":"/home/billing/no.csv"}','http://127.0.0.1:8082','/home/billing/no.csv','b1d374c86b8185a1331c582cd7045109275a4654c7c64a070f6b35e6c3b1b74a','["abonent_id","amount"]','2','2026-11-25T10:43:33.764+00:00','2026-11-25T10:43:33.796+00:00',NULL,'2026-11-25T10:43:33.804+00:00');
CREATE TABLE transitions (
    source text not null,
    target text not null,
    primary key (source, target)
) strict, without rowid;
INSERT INTO transitions VALUES('','pending');
INSERT INTO transitions VALUES('','skipped');
INSERT INTO transitions VALUES('accepted','applied');
INSERT INTO transitions VALUES('manual','accepted');
INSERT INTO transitions VALUES('manual','pending');
INSERT INTO transitions VALUES('pending','sending');
INSERT INTO transitions VALUES('sending','accepted');
INSERT INTO transitions VALUES('sending','pending');
INSERT INTO transitions VALUES('sending','rejected');
INSERT INTO transitions VALUES('sending','unknown');
INSERT INTO transitions VALUES('unknown','accepted');
INSERT INTO transitions VALUES('unknown','manual');
INSERT INTO transitions VALUES('unknown','pending');
CREATE TABLE items (
    item_id    integer primary key,
    run_id     integer not null references runs,
    number     integer not null,          -- counts from 1 within the run; stands in the mark
    key        text not null,             -- what must not be entered twice
    label      text not null,             -- what people call it
    lane       text not null,             -- one write at a time for one lane (the billing's account)
    payload    text not null,             -- JSON, what the call is made from
    amount     text,
    line       integer,                   -- of the input file
    row        text not null,             -- JSON array, the input's own cells
    state      text not null,
    attempts   integer not null default 0,
    answer     text,                      -- what the billing answered: the new id
    message    text,                      -- the error, or why it was skipped
    frozen_at  text not null,
    sent_at    text,
    changed_at text not null
) strict;
INSERT INTO items VALUES(1,1,1,'2001','АБ-00001','account:1','{"abonent_id":2001,"op_summa":"50.50"}','50.50',2,'["2001","50.50"]','applied',1,'14',NULL,'2026-11-25T10:43:14.493+00:00','2026-11-25T10:43:14.499+00:00','2026-11-25T10:43:21.164+00:00');
INSERT INTO items VALUES(2,1,2,'2003','00003','account:3','{"abonent_id":2003,"op_summa":"-12.00"}','-12.00',3,'["2003","-12,00"]','applied',1,'15',NULL,'2026-11-25T10:43:14.493+00:00','2026-11-25T10:43:14.499+00:00','2026-11-25T10:43:21.164+00:00');
INSERT INTO items VALUES(3,1,3,'2004','00004','account:4','{"abonent_id":2004,"op_summa":"0.00"}','0.00',4,'["2004","0"]','applied',1,'16',NULL,'2026-11-25T10:43:14.493+00:00','2026-11-25T10:43:14.499+00:00','2026-11-25T10:43:21.164+00:00');
INSERT INTO items VALUES(4,2,1,'2005','00005','account:5','{"abonent_id":2005,"op_summa":"100.00"}','100.00',2,'["00005","100"]','accepted',1,'17',NULL,'2026-11-25T10:43:24.408+00:00','2026-11-25T10:43:24.440+00:00','2026-11-25T10:43:24.461+00:00');
INSERT INTO items VALUES(5,2,2,'2008','00008','account:7','{"abonent_id":2008,"op_summa":"7.25"}','7.25',3,'["00008","7,25"]','accepted',1,'18',NULL,'2026-11-25T10:43:24.408+00:00','2026-11-25T10:43:24.440+00:00','2026-11-25T10:43:24.472+00:00');
INSERT INTO items VALUES(6,3,1,'2001','АБ-00001','account:1','{"abonent_id":2001,"op_summa":"50.50"}','50.50',2,'["2001","50.50"]','accepted',1,'19',NULL,'2026-11-25T10:43:27.845+00:00','2026-11-25T10:43:27.893+00:00','2026-11-25T10:43:27.932+00:00');
INSERT INTO items VALUES(7,3,2,'2003','00003','account:3','{"abonent_id":2003,"op_summa":"-12.00"}','-12.00',3,'["2003","-12,00"]','accepted',1,'20',NULL,'2026-11-25T10:43:27.845+00:00','2026-11-25T10:43:27.893+00:00','2026-11-25T10:43:27.932+00:00');
INSERT INTO items VALUES(8,3,3,'2004','00004','account:4','{"abonent_id":2004,"op_summa":"0.00"}','0.00',4,'["2004","0"]','accepted',1,'21',NULL,'2026-11-25T10:43:27.845+00:00','2026-11-25T10:43:27.893+00:00','2026-11-25T10:43:27.932+00:00');
INSERT INTO items VALUES(9,4,1,'2011','abonent 2011','account:10','{"abonent_id":2011,"limit_warning":"-120"}',NULL,NULL,'["2011","10","50.00","-120"]','accepted',1,NULL,NULL,'2026-11-25T10:43:31.077+00:00','2026-11-25T10:43:31.078+00:00','2026-11-25T10:43:31.087+00:00');
INSERT INTO items VALUES(10,4,2,'2014','abonent 2014','account:13','{"abonent_id":2014,"limit_warning":"-120"}',NULL,NULL,'["2014","13","","-120"]','accepted',1,NULL,NULL,'2026-11-25T10:43:31.077+00:00','2026-11-25T10:43:31.078+00:00','2026-11-25T10:43:31.087+00:00');
INSERT INTO items VALUES(11,4,3,'2016','abonent 2016','account:15','{"abonent_id":2016,"limit_warning":"-120"}',NULL,NULL,'["2016","15","-100.00","-120"]','accepted',1,NULL,NULL,'2026-11-25T10:43:31.077+00:00','2026-11-25T10:43:31.078+00:00','2026-11-25T10:43:31.087+00:00');
INSERT INTO items VALUES(12,4,4,'2017','abonent 2017','account:16','{"abonent_id":2017,"limit_warning":"-120"}',NULL,NULL,'["2017","16","-200.00","-120"]','accepted',1,NULL,NULL,'2026-11-25T10:43:31.077+00:00','2026-11-25T10:43:31.078+00:00','2026-11-25T10:43:31.087+00:00');
INSERT INTO items VALUES(13,4,5,'2020','abonent 2020','account:19','{"abonent_id":2020,"limit_warning":"-120"}',NULL,NULL,'["2020","19","-200.00","-120"]','accepted',1,NULL,NULL,'2026-11-25T10:43:31.077+00:00','2026-11-25T10:43:31.082+00:00','2026-11-25T10:43:31.088+00:00');
CREATE TABLE refusals (
    refusal_id  integer primary key,
    run_id      integer not null references runs,
    line        integer,
    column_name text,
    label       text not null,
    reason      text not null,
    row         text not null,
    conflict    text
) strict;
CREATE TABLE decisions (
    decision_id integer primary key,
    item_id     integer not null references items,
    decided_at  text not null,
    who         text not null,
    state       text not null,
    why         text not null
) strict;
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
CREATE UNIQUE INDEX items_by_run on items (run_id, number);
CREATE INDEX items_by_key on items (key);
CREATE INDEX refusals_by_run on refusals (run_id);
CREATE INDEX decisions_by_item on decisions (item_id);
COMMIT;
