"""Several machines: the queue of runs that are handed in, the workers that send them, and all billings at a glance.

procrastinate gives the work out, in the database of the journal. It promises no money: the lease of a billing does,
and a run that is given out twice is refused to the second.
"""
