"""Live control of a running run, over a Unix socket beside its journal.

another terminal ──▶ address ────▶ listener ───▶ handler ─────▶ the run (`Controllable`)
{"command": "set",   permissions   requests in,   effect of      and the journal, which
 "arguments": {…}}   of socket     answers out    each command   notes each command
"""
