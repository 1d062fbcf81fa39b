"""The engine: turns each input row into exactly one effect in the billing.

It uses the journal and no particular billing; a billing is reached through the interfaces in `job.py`.
"""
