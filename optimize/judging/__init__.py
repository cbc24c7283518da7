"""Measures what a pass cost: accuracy, agreement with the parent, and arithmetic."""
