"""Readers of what comes from outside, fuzzed by what the fuzzer sees of their code: `make fuzz`."""
