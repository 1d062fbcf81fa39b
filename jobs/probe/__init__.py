"""The probe: undocumented facts of a live billing, learned on one test subscriber.

intent ──▶ what is read ──▶ entries, creation ──▶ taken back ──▶ profile

Each entry carries the probe's mark, `[cm-probe k7m2q/3]`, and is in the intent file before its call leaves. So the
entries of a killed probe can be found in the billing and taken back.
"""
