"""Manifests distributed to clusters and applied there."""
