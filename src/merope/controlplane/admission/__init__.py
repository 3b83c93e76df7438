"""Admission: what must agree before a write is stored.

First the mutating part (namespaces, service accounts of pods, mutating webhooks), later, on the object as it will be
stored, the validating part. ``AdmissionChain`` is what the registry calls; ``webhooks`` calls out to others.
"""

from merope.controlplane.admission.chain import AdmissionChain
from merope.controlplane.admission.configurations import STRATEGIES

__all__ = ["STRATEGIES", "AdmissionChain"]
