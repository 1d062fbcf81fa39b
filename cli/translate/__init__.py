"""`translate`: a published shell one-liner in, the command that does it here out, its findings by name.

shell.py        words, quotes and operators, as bash reads them
script.py       the grammar: commands, pipes, the loop, variables, and what may be left out
sql.py          the select, its columns and how its rows are printed
row_source.py   what becomes of a row on its way into the loop's variables, and what stands for these in the call
curl.py         the address and the form of the call
template.py     the arguments of a step, as JSON with placeholders
call.py         the call as the command says it; the job of the catalogue that does the same
translation.py  all of it together
findings.py     what is wrong with the line, in words
"""
