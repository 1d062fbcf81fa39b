"""What is rendered: the preview, the plan, progress, the closing."""
