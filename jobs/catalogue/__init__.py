"""The catalogue: the recipes of the vendor's page [S] and of integrators [I], each a job of a few lines."""
