"""Rows of a database, paged by key: the job hands in the function that fetches a page."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine.job import RowPage

Fetch = Callable[[str | None], RowPage | None]
"""The page after a cursor (from the start for None), None when nothing is left. Called from a worker thread."""


@dataclass(frozen=True, slots=True)
class PagedQuery:
    """A `Source` over a query.

    Its rows may change between two readings, so it has no digest, and none of it need be checked before the rest:
    `checked_whole` is False. Each page is a transaction of its own, as long as `fetch` makes it one.
    """

    name: str
    header: tuple[str, ...]
    fetch: Fetch
    digest: str = ""
    checked_whole: bool = False

    def pages(self, after: str | None) -> Iterator[RowPage]:
        """The pages after the cursor `after`; what `fetch` raises passes through.

        Raises `RuntimeError` when a page leaves the cursor where it was: it would be read for ever.
        """
        while (page := self.fetch(after)) is not None:
            if page.cursor == after:
                raise RuntimeError(f"the query {self.name!r} gave a page and stayed at {after!r}")
            yield page
            after = page.cursor
