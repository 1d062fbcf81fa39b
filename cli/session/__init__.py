"""One session: journal and billing open, a run started, driven and finished."""
