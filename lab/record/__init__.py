"""Recordings of exchanges with a billing: kept in a file, replayed and compared."""
