"""Reads what a cascade is, from folders, files and the hub, and fills networks with weights."""
