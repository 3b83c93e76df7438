"""What a hub and a klusterlet consist of: custom resource definitions, namespaces, identities and permissions.

The objects are given by pure functions (``hub_objects``, ``klusterlet_objects``), with the names and rules that the
reference's operators give them, so that either may adopt what the other installed. ``install`` brings a cluster to
that state.
"""

from merope.operator.hub import HUB_NAMESPACE, OPERATOR_NAMESPACE, hub_objects
from merope.operator.install import install
from merope.operator.klusterlet import AGENT_NAMESPACE, klusterlet_objects

__all__ = [
    "AGENT_NAMESPACE",
    "HUB_NAMESPACE",
    "OPERATOR_NAMESPACE",
    "hub_objects",
    "install",
    "klusterlet_objects",
]
