"""Screens: the preview, the plan, the progress, the closing."""
