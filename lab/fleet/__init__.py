"""The crash lab of a fleet: several workers, many mock billings, one journal in PostgreSQL."""
