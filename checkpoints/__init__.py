"""The journal: the durable record of every run, its items and their outcomes. Imports no other room."""
