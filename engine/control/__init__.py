"""Live control: a run that is steered while it runs, over a Unix socket beside its journal.

another terminal ──▶ address ──▶ listener ──▶ commands ──▶ the run (`Steered`)
{"command": "set",   who may     lines in,     what each      and the journal:
 "arguments": {…}}   open it     answers out   one does       who told it what
"""
