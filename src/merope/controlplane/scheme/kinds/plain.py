"""Kinds whose only rule is that ``metadata.generation`` follows the spec."""

from __future__ import annotations

from typing import Final

from merope.controlplane.resource import Strategy


class TracksGeneration(Strategy):
    """A kind that counts changes of its spec."""

    tracks_generation = True


STRATEGIES: Final = {
    ("networking.k8s.io", "NetworkPolicy"): TracksGeneration(),
    ("discovery.k8s.io", "EndpointSlice"): TracksGeneration(),
    ("scheduling.k8s.io", "PriorityClass"): TracksGeneration(),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): TracksGeneration(),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): TracksGeneration(),
}
