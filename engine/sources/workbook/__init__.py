"""Workbooks: Excel and OpenDocument, read as streams, whatever their size."""
