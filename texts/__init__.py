"""Sentences for people, as values that are rendered in the language of whoever reads them."""
