"""Tables of subscribers: read, translated and checked."""
