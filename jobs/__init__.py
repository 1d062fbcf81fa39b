"""One job a file: what it reads, what it calls, how its effect is recognised and verified."""
