"""The objects of a billing, and how they are found."""
