"""The crash lab: experiments with a real load under kills, stops and faults, judged by the billing's ledger."""
