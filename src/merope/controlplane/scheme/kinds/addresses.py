"""Cluster IPs and node ports: which are taken, and a free one for a new service.

Services name them in their own objects, so what is taken is read from the store: once, then kept up to date by its
changes. An address that was handed out counts as taken for a while before its service can be seen.
"""

from __future__ import annotations

import ipaddress
import secrets
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from merope.controlplane.resource import GroupResource

if TYPE_CHECKING:
    from merope.controlplane.server import Server
    from merope.controlplane.store import Change

SERVICES: Final = GroupResource("", "services")
#: The addresses of services. The first one is that of the API server in real clusters and never handed out.
RANGE: Final = ipaddress.ip_network("10.96.0.0/16")
NODE_PORTS: Final = range(30000, 32768)
_RESERVED: Final = 16
#: Seconds that an address is held for a service that is being written.
_HOLD: Final = 60.0

Claim = str | int


class Exhausted(Exception):
    """Nothing is free."""


def claims(service: Mapping[str, Any]) -> Iterator[Claim]:
    """The addresses (text) and node ports (numbers) that a service takes."""
    spec = service.get("spec") or {}
    addresses = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    yield from (address for address in addresses if address != "None")
    yield from (port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort"))
    if spec.get("healthCheckNodePort"):
        yield spec["healthCheckNodePort"]


class Addresses:
    """What the services of one server have taken."""

    def __init__(self, server: Server) -> None:
        self._taken: dict[Claim, int] = {}
        self._held: dict[Claim, float] = {}
        for entry in server.store.list(SERVICES):
            self._count(entry.parsed(), 1)
        server.store.subscribe(self._changed, SERVICES)

    def _count(self, service: Mapping[str, Any], by: int) -> None:
        for claim in claims(service):
            count = self._taken.get(claim, 0) + by
            if count > 0:
                self._taken[claim] = count
            else:
                self._taken.pop(claim, None)

    def _changed(self, change: Change) -> None:
        if change.previous is not None:
            self._count(change.previous.parsed(), -1)
        if change.type != "DELETED":
            self._count(change.entry.parsed(), 1)

    def is_free(self, claim: Claim) -> bool:
        now = time.monotonic()
        for held in [held for held, until in self._held.items() if until < now]:
            del self._held[held]
        return claim not in self._taken and claim not in self._held

    def is_taken(self, claim: Claim) -> bool:
        """Whether a stored service has it."""
        return claim in self._taken

    def hold(self, claim: Claim) -> None:
        """Keep others from an address until its service is seen."""
        self._held[claim] = time.monotonic() + _HOLD

    def address(self) -> str:
        """A free address; raises Exhausted."""
        size = RANGE.num_addresses - _RESERVED - 1
        start = secrets.randbelow(size)
        for step in range(size):
            candidate = str(RANGE[_RESERVED + (start + step) % size])
            if self.is_free(candidate):
                self.hold(candidate)
                return candidate
        raise Exhausted("range is full")

    def node_port(self) -> int:
        """A free node port; raises Exhausted."""
        start = secrets.randbelow(len(NODE_PORTS))
        for step in range(len(NODE_PORTS)):
            candidate = NODE_PORTS[(start + step) % len(NODE_PORTS)]
            if self.is_free(candidate):
                self.hold(candidate)
                return candidate
        raise Exhausted("range is full")


_of_servers: Final[weakref.WeakKeyDictionary[Any, Addresses]] = weakref.WeakKeyDictionary()


def addresses(server: Server) -> Addresses:
    """The addresses of a server, counted on first use."""
    found = _of_servers.get(server)
    if found is None:
        found = _of_servers[server] = Addresses(server)
    return found
