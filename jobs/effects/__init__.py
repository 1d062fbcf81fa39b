"""The effects of calls, one kind a file: how each is planned, sent, recognised and taken back."""
