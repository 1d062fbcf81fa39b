"""Live control of a running run, over HTTP on a Unix socket beside its journal.

another terminal, curl, ──▶ address ────▶ door ─────────▶ application ──▶ handler ─────▶ the run (`Controllable`)
the page                    permissions   bounds of a     requests and    effect of      and the journal, which
                            of socket     client          answers         each command   notes each command
"""
