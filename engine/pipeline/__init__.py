"""The pipeline of a row, from the input to its recorded outcome: one step a file."""
