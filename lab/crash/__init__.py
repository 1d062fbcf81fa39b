"""The crash lab: rounds of a real load that is killed, stopped and lied to, and a verdict from the billing's ledger.

plan.py       what a round does
drawing.py    the plan of a round, drawn from its seed
serving.py    the mock billing of a round, in a process of its own
proxy.py      what stands before it, and delays, doubles and swallows
loading.py    what the load is asked for, and its processes
clock.py      the program with a wall clock that can be set back
journals.py   what is done to the journal's file: copied, aliased, moved aside
watching.py   how far the load has come, seen in its journal
mischief.py   what is done to the processes, and when
rounds.py     a round, from an empty folder to its verdict
gathering.py  what journal and ledger have in the end
checking.py   the verdict: a pure function of that
report.py     the table and the JSON
command.py    `carbon-migrate selftest`
"""
