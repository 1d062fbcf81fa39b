"""`translate`: turns published shell one-liners into commands of this program, with named findings.

What cannot be translated is raised as `CommandRefused`, a sentence with the place in the line.

shell.py         words as bash reads them, each character with its quoting and its place; commands, pipes and loops
options.py       the options of curl, wget, xargs and the like
rows.py          the idioms: what makes rows, what they go through, what makes a call of each
isql.py          the select, and the way of a line that isql prints of it into the loop's variables
tables.py        variables of a row, of the line, given; fields and look-ups within $(…); the rows for a command
call.py          the call: address, form, steps, arguments; the job that makes the same one
translation.py   all one-liners of a text, each as the record `OneLiner`, then as a command
findings.py      the table of faults
"""
