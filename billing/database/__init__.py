"""The Firebird database of a billing, which is only read."""
