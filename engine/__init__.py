"""The pipeline: rows in, one effect each, whatever happens on the way.

It knows the journal and nothing of any billing: what is peculiar to one comes through the door in `job.py`.
"""
