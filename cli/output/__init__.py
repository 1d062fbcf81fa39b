"""Output files: refused rows, items, answers."""
