"""What this project does with the billing."""
