"""Finalizers of a raw object: pure functions that change it in place, for use with ``write``."""

from __future__ import annotations

from merope.kube.resources import Manifest


def add_finalizer(raw: Manifest, finalizer: str) -> bool:
    """Add a finalizer behind those that are there; whether it was missing."""
    found = raw["metadata"].get("finalizers") or []
    if finalizer in found:
        return False
    raw["metadata"]["finalizers"] = [*found, finalizer]
    return True


def remove_finalizer(raw: Manifest, finalizer: str) -> bool:
    """Remove a finalizer; whether it was there. Without any left the member goes, as Kubernetes prints it."""
    found = raw["metadata"].get("finalizers") or []
    if finalizer not in found:
        return False
    kept = [each for each in found if each != finalizer]
    if kept:
        raw["metadata"]["finalizers"] = kept
    else:
        raw["metadata"].pop("finalizers", None)
    return True
