"""The live page: a run in a browser, from this machine or through a tunnel.

browser ──▶ server ────────▶ admission ────────▶ application ──▶ the journal, and the
            127.0.0.1,       Host, cookie,       pages, facts,   mailbox of the run in it
            a free port      Origin, headers     commands
"""
