"""Placement controllers that run on the hub."""
