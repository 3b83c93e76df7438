"""Admission: what must agree before a write is stored.

First the mutating part (namespaces, service accounts of pods, mutating webhooks), later, on the object as it will be
stored, the validating part. ``AdmissionChain`` is what the registry calls; ``webhooks`` calls out to others,
``policies`` evaluates expressions here.
"""

from merope.controlplane.admission import configurations, policy_objects
from merope.controlplane.admission.chain import AdmissionChain

#: The kinds that say what admission does.
STRATEGIES = {**configurations.STRATEGIES, **policy_objects.STRATEGIES}

__all__ = ["STRATEGIES", "AdmissionChain"]
