-- Makes a journal of format 2 in PostgreSQL one of format 3, as upgrade_6.sql does with one in a file.

alter table items add column kind text;
update items
set kind = split_part(message, ':', 1), message = coalesce(message_said, to_json(message)::text)
where message is not null;
update refusals set reason = coalesce(reason_said, to_json(reason)::text);
update commands set answer = coalesce(answer_said, to_json(answer)::text);
update runs set assumptions = coalesce(assumptions_said, to_json(assumptions)::text) where assumptions is not null;
alter table items drop column message_said;
alter table refusals drop column reason_said;
alter table commands drop column answer_said;
alter table runs drop column assumptions_said;
