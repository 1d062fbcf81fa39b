-- A journal of format 5 becomes one of format 6: templates and parameters beside its sentences, assumptions, what
-- look-ups have found, and what of it may be somebody else's. What it has keeps its English text alone.
alter table items add column message_said text;
alter table refusals add column reason_said text;
alter table commands add column answer_said text;
alter table runs add column assumptions text;
alter table runs add column assumptions_said text;
alter table runners add column found integer not null default 0;
alter table runners add column absent integer not null default 0;
alter table runners add column left integer not null default 0;
alter table items add column unproven integer not null default 0;
