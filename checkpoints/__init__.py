"""The journal: what a run has set out to do and what became of every item of it. Knows no other room."""
