"""What this project asks of the billing. carbon-migrate has a package of the same name, which it does not meet."""
