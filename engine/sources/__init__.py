"""Sources of rows: files of all formats and standard input. Nothing here depends on a billing."""
