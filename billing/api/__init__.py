"""The REST API: calls, connections, answers."""
