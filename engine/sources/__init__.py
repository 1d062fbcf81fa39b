"""Sources of rows: files of all formats and standard input. Nothing here depends on a billing.

What cannot be read is raised as `InputRefused`, a sentence with the place in the file.
"""
