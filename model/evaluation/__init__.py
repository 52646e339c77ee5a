"""Measures any cascade: what it draws, and how well each stage takes noise away."""
