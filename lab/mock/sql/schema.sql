-- The billing's known tables: Firebird 2.1's SQL, money scaled by 10^10.
-- Constraints and indexes are in indexes.sql, for they are created after the rows.

create table vpn_const (const_id integer not null primary key, const_value varchar(64));

create table operators (
    id integer not null primary key, name varchar(120), deleted smallint default 0 not null);

create table tarif (
    id integer not null primary key, name varchar(120) not null, users_limit_warning bigint,
    deleted smallint default 0 not null);

create table usluga (
    id integer not null primary key, name varchar(120) not null, summa bigint, operator_id integer,
    promised smallint default 0 not null, deleted smallint default 0 not null);

create table ip_pulls (
    id integer not null primary key, name varchar(120) not null, first_ip bigint, last_ip bigint,
    deleted smallint default 0 not null);

create table attributes (
    id integer not null primary key, name varchar(120) not null, deleted smallint default 0 not null);

create table django_users_profile (
    id integer not null primary key, username varchar(64) not null, name varchar(120), email varchar(120),
    is_active smallint default 1 not null);

create table tarif_users_usluga (
    id integer not null primary key, tarif_id integer not null, usluga_id integer not null);

create table admin_accounts (
    id integer not null primary key,
    ostatok bigint default 0 not null, debit bigint default 0 not null, credit bigint default 0 not null,
    "limit" bigint, limit_warning bigint,
    balance computed by (cast(ostatok + debit - credit as bigint)));

create table abonents (
    id integer not null primary key, parent_id integer, is_folder smallint default 0 not null,
    name varchar(255), contract_number varchar(64), account_id integer,
    tarif_id integer, tarif_next_id integer, tarif_next_date timestamp, operator_id integer,
    sms varchar(32), email varchar(120), a_home_number varchar(32), create_date timestamp, deleted smallint default 0 not null,
    need_recalc date, own_disabled_start date, own_disabled_end date);

create table users (
    id integer not null primary key, abonent_id integer not null, login varchar(64), ip bigint, mac char(17),
    pull integer, snatip bigint, snat_pull integer, psw varchar(64), psw_hash varchar(64),
    enabled smallint default 1 not null, deleted smallint default 0 not null);

create table users_usluga (
    id integer not null primary key, abonent_id integer not null, usluga_id integer not null, manager_id integer,
    comment varchar(255), next_date timestamp, enabled smallint default 1 not null,
    deleted smallint default 0 not null);

create table finance_operations (
    op_id integer not null primary key, abonent_id integer not null, op_type integer not null,
    op_summa bigint not null, op_date timestamp not null, descr varchar(500),
    storno smallint default 0 not null, sync1c smallint default 0 not null, code1c varchar(64));

create table abonents_block_history (
    id integer not null primary key, abonent_id integer not null, time_changed timestamp, time_del timestamp);

create table attribute_values (
    id integer not null primary key, abonent_id integer not null, attribute_id integer not null,
    attribute_value varchar(255));

create table account_stack (id integer not null primary key, account_id integer, created timestamp);

create table arch_account_stack (id integer not null primary key, account_id integer, created timestamp);

create table events_stack_compact (id integer not null primary key, abonent_id integer, created timestamp);

create table cabinet_sessions (
    id integer not null primary key, suid varchar(32) not null, user_id integer not null, created timestamp not null);

create table password_recoveries (
    id integer not null primary key, user_id integer not null, base_url varchar(255) not null,
    created timestamp not null);

create table mock_pending (
    entry integer not null primary key, request integer not null, asked timestamp not null,
    stack varchar(31) not null, stack_id integer not null, account_id integer, abonent_id integer,
    enrols smallint default 0 not null, call blob sub_type text not null);

create table mock_ledger (
    entry integer not null primary key, request integer not null, happened timestamp not null,
    model varchar(40) not null, methods varchar(120) not null,
    changed_table varchar(40) not null, changed_key integer not null, subject integer not null,
    what varchar(1000) not null);

create generator gen_abonents_id;
create generator gen_admin_accounts_id;
create generator gen_tarif_id;
create generator gen_usluga_id;
create generator gen_users_id;
create generator gen_users_ip;
create generator gen_users_password;
create generator gen_users_usluga_id;
create generator gen_finance_operations_id;
create generator gen_abonents_block_history_id;
create generator gen_attribute_values_id;
create generator gen_account_stack_id;
create generator gen_events_stack_compact_id;
create generator gen_cabinet_sessions_id;
create generator gen_password_recoveries_id;
create generator gen_mock_pending_id;
create generator gen_mock_ledger_id;
