"""`translate`: turns published shell one-liners into commands of this program, with named findings.

What cannot be translated is raised as `CommandRefused`, a sentence with the place in the line.

shell.py         words as bash reads them, each character with its quoting and its place; commands, loops, options
rows.py          the idioms: what makes rows, what they go through, what makes a call of each
tables.py        the select and what isql prints of it; variables, fields and look-ups; the rows for a command
translation.py   the call: address, form, steps, arguments; the job that makes the same one
                 all one-liners of a text, each as the record `OneLiner`, then as a command
findings.py      the table of faults
"""
