"""Workbooks of any size: Excel and OpenDocument, read as streams."""
