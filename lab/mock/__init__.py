"""The mock billing: the tables, the REST API and the rules of the real one, and a ledger of its effects."""
