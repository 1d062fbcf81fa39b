"""The crash lab: experiments with a real load that is killed, stopped and misled, judged by the billing's ledger."""
