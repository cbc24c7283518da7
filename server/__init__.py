"""Serves bundles in real time. Never imports ``optimize``; needs no torch."""
