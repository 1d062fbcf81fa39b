-- Early journals of format 5 named the last holder in the run, and a runner no host.
alter table runners add column host text not null default '';
update runners set host = coalesce((select r.held_host from runs r where r.run_id = runners.run_id), '');
alter table runs drop column held_host;
alter table runs drop column held_process;
alter table runs drop column held_since;
