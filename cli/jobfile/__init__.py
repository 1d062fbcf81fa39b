"""Job files: jobs with their rows and settings, kept in the administrator's own git and run in order."""
