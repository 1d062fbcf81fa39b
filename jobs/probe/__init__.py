"""The probe: a live billing is asked, on one test subscriber, what nobody documents of it.

intent ──▶ readings ──▶ entries ──▶ taken back ──▶ profile

What it enters bears a mark of its own, `[cm-probe k7m2q/3]`, and is in the intent file before its call leaves: a
probe that was killed finds in the billing what it has entered, and takes it back.
"""
