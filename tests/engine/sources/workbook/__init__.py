"""Tests of `engine/sources/books/`."""
