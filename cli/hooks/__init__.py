"""Hooks: what happens of a run is told to commands and addresses, as the table [hooks] of the settings says.

a run's event ──▶ reader ──▶ messages ──▶ calls ──▶ a command's standard input, or an address
"""
