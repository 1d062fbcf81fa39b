"""The command line: what an administrator types, sees and signs."""
