"""A billing to test against, and the proof that the engine keeps its promises."""
