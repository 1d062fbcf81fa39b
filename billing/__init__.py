"""Carbon Billing 5: its REST API, its database, its money."""
