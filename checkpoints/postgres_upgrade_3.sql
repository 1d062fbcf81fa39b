-- Makes a journal of format 3 in PostgreSQL one of format 4, together with what the schema says of the mailbox: requests that
-- it has are of moments that have passed.
drop table if exists requests;
