"""What of the pages in `docs/reference` is written from the code: `python -m tools.reference --write`."""
