"""Custom resources: their definitions, and everything that happens to objects of kinds that are defined at run time.

In come CustomResourceDefinitions, from the store; out go served resources whose strategy prunes, defaults and validates
by the schema, CEL rules included. The walkers over schemas (``structural``) serve built-in kinds as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from merope.controlplane.crd.definitions import STRATEGIES as STRATEGIES
    from merope.controlplane.crd.resources import CustomResources as CustomResources

__all__ = ["STRATEGIES", "CustomResources"]


def __getattr__(name: str) -> Any:
    # The walkers are used without the rest (no CEL, no conversion): the parts are loaded when they are asked for.
    if name == "STRATEGIES":
        from merope.controlplane.crd.definitions import STRATEGIES

        return STRATEGIES
    if name == "CustomResources":
        from merope.controlplane.crd.resources import CustomResources

        return CustomResources
    raise AttributeError(name)
