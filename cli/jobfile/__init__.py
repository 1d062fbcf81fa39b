"""Job files: several jobs with their rows and settings, kept in version control and run in order."""
