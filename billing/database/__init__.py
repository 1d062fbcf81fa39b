"""The Firebird database of a billing, read and never written."""
