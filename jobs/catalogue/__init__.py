"""The catalogue of jobs: the recipes of the vendor's page [S] and of integrators [I], each as a spec."""
