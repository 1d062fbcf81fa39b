"""`python -m cli URL MONTH SUBSCRIBER …`: give the bonus of a month."""

import sys

from jobs.bonus import give

url, month, *subscribers = sys.argv[1:]
give(url, month, map(int, subscribers))
