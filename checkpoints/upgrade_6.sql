-- A journal of format 6 becomes one of format 7: each sentence stands once, as its template and values, and a reason has
-- beside it what it is counted and compared by. A text without a template becomes a JSON string.
alter table items add column kind text;
update items
set kind = case when instr(message, ':') > 0 then substr(message, 1, instr(message, ':') - 1) else message end,
    message = coalesce(message_said, json_quote(message))
where message is not null;
update refusals set reason = coalesce(reason_said, json_quote(reason));
update commands set answer = coalesce(answer_said, json_quote(answer));
update runs set assumptions = coalesce(assumptions_said, json_quote(assumptions)) where assumptions is not null;
alter table items drop column message_said;
alter table refusals drop column reason_said;
alter table commands drop column answer_said;
alter table runs drop column assumptions_said;
