-- The mock's own tables, and the generators that are of no table. All else is made from facts.toml.

create table mock_pending (
    entry integer not null primary key, request integer not null, asked timestamp not null,
    stack varchar(31) not null, stack_id integer not null, account_id integer, abonent_id integer,
    enrols smallint default 0 not null, call blob sub_type text not null);

create table mock_ledger (
    entry integer not null primary key, request integer not null, happened timestamp not null,
    model varchar(40) not null, methods varchar(120) not null,
    changed_table varchar(40) not null, changed_key integer not null, subject integer not null,
    what varchar(1000) not null);

create index ledger_subject on mock_ledger (subject);
create index ledger_request on mock_ledger (request);
create index pending_account on mock_pending (account_id);
create index pending_abonent on mock_pending (abonent_id);

create generator gen_users_ip;
create generator gen_users_password;
create generator gen_mock_pending_id;
create generator gen_mock_ledger_id;
