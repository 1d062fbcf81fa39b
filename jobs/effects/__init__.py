"""What calls do to a billing, one kind of effect a file: how it is planned, made, recognised and taken back."""
