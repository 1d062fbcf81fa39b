"""The jobs: their specs, their rows, their calls, and how effects are recognised, verified and taken back."""
