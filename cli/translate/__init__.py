"""`translate`: turns a published shell one-liner into a command of this program, with named findings.

shell.py        words, quotes and operators, as bash reads them
script.py       the grammar: commands, pipes, the loop, variables, and what may be left out
sql.py          the select, its columns and how its rows are printed
row_source.py   the path of a row into the loop's variables, and their placeholders in the call
curl.py         the address and the form of the call
template.py     the arguments of a step, as JSON with placeholders
call.py         the call in the command's form; the job of the catalogue that makes the same call
translation.py  the whole translation
findings.py     the faults of a line, in words
"""
