"""`translate`: turns published shell one-liners into commands of this program, with named findings.

page.py          a text cut into one-liners: a line, a script, a page of documentation
one_liners.py    all of a text, each translated, or refused with its place
words.py         words and their pieces, with their quoting and their places
shell.py         the lexer: words, quotes, operators and heredocs, as bash reads them
grammar.py       commands, pipes and loops
script.py        what a line does: its rows, its one call, and what may be left out
spread.py        xargs, GNU parallel, and the shell within them
scope.py         variables: of a row, of the line, given, undefined
line_fields.py   columns that a loop takes out of its lines by commands
lookups.py       the subscriber that a line asks the database for
sql.py           the select, its columns and how its rows are printed
tables.py        what feeds a loop, and the placeholders in the call
select_table.py  the path of a row that isql prints into the loop's variables
text_table.py    lines of a file, of a list, of text tools
request.py       the address, the data, and the options of what sends them
curl.py, wget.py their options
form.py          the steps of the posted form
template.py      the arguments of a step, as JSON with placeholders
call.py          the call in the command's form
job_form.py      the job of the catalogue that makes the same call
translation.py   the whole translation
findings.py      the faults of a line, in words
"""
