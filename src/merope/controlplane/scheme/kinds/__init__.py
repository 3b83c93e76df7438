"""What differs from kind to kind among the built-in kinds: one strategy each, found by group and kind.

Each module here holds the kinds of one subject and exports ``STRATEGIES``. Kinds whose rules belong to another part of
the control plane (RBAC, signing requests, reviews, custom resource definitions, admission) export theirs
in the same form; all are merged the first time the catalogue is loaded. A kind without an entry is a plain one.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from merope.controlplane.resource import Strategy
from merope.controlplane.scheme.kinds.base import BuiltinStrategy
from merope.controlplane.scheme.kinds.selectable import SELECTABLE

Object = dict[str, Any]

_HERE: Final = "merope.controlplane.scheme.kinds."

#: Modules with a mapping ``STRATEGIES``.
_SOURCES: Final = tuple(
    _HERE + name
    for name in (
        "autoscaling",
        "batch",
        "cluster",
        "config",
        "events",
        "namespaces",
        "networking",
        "pods",
        "services",
        "storage",
        "workloads",
    )
)

#: Other parts of the control plane that bring strategies of their kinds.
_OTHER_PARTS: Final = (
    "merope.controlplane.rbac",
    "merope.controlplane.csr",
    "merope.controlplane.crd",
    "merope.controlplane.admission",
)

_PLAIN: Final = BuiltinStrategy()


@functools.cache
def registry() -> Mapping[tuple[str, str], Strategy]:
    """The strategies of all built-in kinds that have one, by group and kind."""
    merged: dict[tuple[str, str], Strategy] = {}
    for name in (*_SOURCES, *_OTHER_PARTS):
        merged.update(importlib.import_module(name).STRATEGIES)
    return MappingProxyType(merged)


def strategy(group: str, kind: str) -> Strategy:
    """The strategy of a kind; the plain one where the kind has no rules of its own."""
    return registry().get((group, kind), _PLAIN)


def selectable(group: str, kind: str) -> dict[str, Callable[[Object], str]]:
    """Names that field selectors may use on a kind beside ``metadata.name`` and ``metadata.namespace``."""
    return dict(SELECTABLE.get((group, kind), {}))
