"""When a row goes again: full jitter, so that rows which failed together do not come back together."""

import random
from collections.abc import Callable

BASE = 0.5
"""Seconds that the first wait is drawn from."""

CAP = 30.0
"""Seconds that no wait is drawn beyond, unless the billing asks for more."""

LONGEST_RETRY_AFTER = 3600.0
"""Seconds; a billing that asks for more is asked again after this."""


def backoff(
    failures: int, retry_after: float | None = None, draw: Callable[[float, float], float] = random.uniform
) -> float:
    """Seconds to wait after the `failures`-th failure (from 1), never less than what the billing asked for.

    Full jitter: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
    """
    ceiling = min(CAP, BASE * 2.0 ** min(failures - 1, 16))
    return max(draw(0.0, ceiling), min(retry_after or 0.0, LONGEST_RETRY_AFTER))
