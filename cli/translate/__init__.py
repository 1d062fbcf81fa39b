"""`translate`: a published shell one-liner in, the command that does it here out, its faults by name.

shell.py        letters, words and operators, as bash reads them
pipeline.py     the grammar: commands, pipes, the loop
oneliner.py     what the parts are: the rows, the call, and what may be left out
variables.py    what stands for the variables
sql.py          the select, its columns and its form
rows.py         what becomes of a line on its way into the loop's variables
table.py        the select as the command says it
curl.py         the address and the data of the call
form.py         the fields of the data, and the steps
arguments.py    the JSON of a step, as a template
recipes.py      the catalogue's job for a call
calling.py      the call as the command says it
passwords.py    the job that sets passwords, in the place of a call that does
translation.py  all of it together
faults.py       what is wrong, in words
command.py      `carbon-migrate translate`
"""
