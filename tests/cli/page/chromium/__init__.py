"""The live page in Debian's Chromium: a real run against a mock billing, and what its page shows of it."""
