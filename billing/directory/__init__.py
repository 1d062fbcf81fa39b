"""The objects of a billing, found by their keys."""
