"""Hooks: what happens of a run is told to commands and addresses."""
