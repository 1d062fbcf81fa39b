-- Makes a journal of format 3 in PostgreSQL one of format 4, together with what the schema says of the mailbox: requests that
-- it has are of moments that have passed.
drop table if exists requests;
alter table runners add column if not exists server text not null default '';
drop view last_runners;
