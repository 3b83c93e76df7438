"""How an agent comes by its hub credential: one interface, so that other ways than certificates fit behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from merope.kube import KubeConfig, Manifest
from merope.kube.conditions import ConditionStatus


@dataclass(frozen=True)
class Condition:
    """What became of a credential, for the status of the object that it belongs to."""

    type: str
    status: ConditionStatus
    reason: str
    message: str


@dataclass(frozen=True)
class Outcome:
    """What a step of a driver came to: a new credential to store (None: nothing to store), a condition to report,
    and the seconds after which to look again without any event.
    """

    credential: Mapping[str, bytes] | None = None
    condition: Condition | None = None
    again: float | None = None


class Driver(Protocol):
    """One way to a hub credential. A driver belongs to one phase of one session, with that phase's hub client."""

    def kubeconfig(self, template: KubeConfig) -> bytes:
        """The kubeconfig that goes with the credential, for the hub of ``template``."""

    def decorate(self, cluster: Manifest) -> None:
        """Adds to a ManagedCluster that is about to be created what the hub's side of this driver looks for."""

    def on_change(self, handler: Callable[[], None]) -> None:
        """Calls ``handler`` when there is reason to take another step."""

    async def process(self, stored: Mapping[str, bytes], additional: Mapping[str, bytes]) -> Outcome:
        """One step towards a valid credential, from what is stored and what has to be stored with it."""

    async def run(self) -> None:
        """Follows on the hub what the driver waits for, until cancelled."""
