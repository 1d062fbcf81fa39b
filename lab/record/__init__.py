"""Exchanges with a billing, kept in a file, served again and compared."""
