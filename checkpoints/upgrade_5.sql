-- A journal of format 5 becomes one of format 6: templates and parameters beside its sentences. What it has keeps its
-- English text alone.
alter table items add column message_said text;
alter table refusals add column reason_said text;
alter table commands add column answer_said text;
