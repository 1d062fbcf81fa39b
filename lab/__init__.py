"""The lab: a mock billing to test against, and the crash tests of the engine's promises."""
