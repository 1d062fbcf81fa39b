"""The journal: what a run has set out to do and what became of every item of it.

The lowest room of the house: it knows nothing of billings, HTTP or jobs. `journal.Journal` is the door.
"""
