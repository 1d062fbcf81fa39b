"""A select of the operator: checked, and read page by page."""
