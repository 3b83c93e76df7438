"""Tables."""

from __future__ import annotations
from merope.controlplane.resource import Column, GroupVersionKind

COLUMNS: dict[GroupVersionKind, tuple[Column, ...]] = {}
