"""A session: journal and billing open; a run is started, worked on and finished."""
