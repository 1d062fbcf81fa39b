"""Text files as pages of rows."""
