-- Indexes and constraints besides the keys, as in a real billing; created after the rows, which is faster.

alter table abonents add constraint fk_abonents_parent foreign key (parent_id) references abonents (id);
alter table abonents add constraint fk_abonents_account foreign key (account_id) references admin_accounts (id);
alter table abonents add constraint fk_abonents_tarif foreign key (tarif_id) references tarif (id);
alter table abonents add constraint fk_abonents_tarif_next foreign key (tarif_next_id) references tarif (id);
alter table abonents add constraint fk_abonents_operator foreign key (operator_id) references operators (id);
alter table usluga add constraint fk_usluga_operator foreign key (operator_id) references operators (id);
alter table users add constraint fk_users_abonent foreign key (abonent_id) references abonents (id);
alter table users_usluga add constraint fk_users_usluga_abonent foreign key (abonent_id) references abonents (id);
alter table users_usluga add constraint fk_users_usluga_usluga foreign key (usluga_id) references usluga (id);
alter table users_usluga add constraint fk_users_usluga_manager
    foreign key (manager_id) references django_users_profile (id);
alter table tarif_users_usluga add constraint fk_tarif_usluga_tarif foreign key (tarif_id) references tarif (id);
alter table tarif_users_usluga add constraint fk_tarif_usluga_usluga foreign key (usluga_id) references usluga (id);
alter table finance_operations add constraint fk_operations_abonent
    foreign key (abonent_id) references abonents (id);
alter table abonents_block_history add constraint fk_block_history_abonent
    foreign key (abonent_id) references abonents (id);
alter table attribute_values add constraint fk_attribute_abonent foreign key (abonent_id) references abonents (id);
alter table cabinet_sessions add constraint fk_sessions_user foreign key (user_id) references users (id);
alter table password_recoveries add constraint fk_recoveries_user foreign key (user_id) references users (id);
create index abonents_contract_number on abonents (contract_number);
create index abonents_sms on abonents (sms);
create index abonents_email on abonents (email);
create index users_login on users (login);
create index users_ip on users (ip);
create index cabinet_sessions_suid on cabinet_sessions (suid);
create index ledger_subject on mock_ledger (subject);
create index ledger_request on mock_ledger (request);
create index pending_account on mock_pending (account_id);
create index pending_abonent on mock_pending (abonent_id);
