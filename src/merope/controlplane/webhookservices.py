"""Where a webhook's Service is reached. No packets are routed to cluster addresses here, so endpoints are used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from merope.controlplane.resource import GroupResource

if TYPE_CHECKING:
    from merope.controlplane.store import Store

_SERVICES: Final = GroupResource("", "services")
_ENDPOINTS: Final = GroupResource("", "endpoints")
_SLICES: Final = GroupResource("discovery.k8s.io", "endpointslices")


class ServiceUnresolved(Exception):
    """No address is known for a Service; the text names it and what is missing."""


def resolve_service(store: Store, reference: Mapping[str, Any]) -> tuple[str, str]:
    """URL of an endpoint of the Service in a client configuration, and the host name its certificate must have."""
    namespace, name = reference.get("namespace", ""), reference.get("name", "")
    port = reference.get("port", 443)
    entry = store.get(_SERVICES, namespace, name)
    if entry is None:
        raise ServiceUnresolved(f'service "{name}" not found in namespace "{namespace}"')
    spec = entry.parsed().get("spec") or {}
    path = reference.get("path") or "/"
    hostname = f"{name}.{namespace}.svc"
    if spec.get("type") == "ExternalName":
        return f"https://{spec.get('externalName', '')}:{port}{path}", hostname
    stated = next((each for each in spec.get("ports") or () if each.get("port") == port), None)
    if stated is None:
        raise ServiceUnresolved(f'service "{namespace}/{name}" has no port {port}')
    for host, reached in (
        *_from_slices(store, namespace, name, stated),
        *_from_endpoints(store, namespace, name, stated),
    ):
        shown = f"[{host}]" if ":" in host else host
        return f"https://{shown}:{reached}{path}", hostname
    raise ServiceUnresolved(
        f'no endpoints available for service "{namespace}/{name}": this control plane runs no pods; '
        "create an EndpointSlice for it or use clientConfig.url"
    )


def _from_slices(store: Store, namespace: str, name: str, port: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for entry in store.list(_SLICES, namespace):
        if entry.labels.get("kubernetes.io/service-name") != name:
            continue
        obj = entry.parsed()
        for number in _matching(obj.get("ports") or (), port):
            for endpoint in obj.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready", True):
                    yield from ((address, number) for address in endpoint.get("addresses") or ())


def _from_endpoints(store: Store, namespace: str, name: str, port: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    entry = store.get(_ENDPOINTS, namespace, name)
    for subset in (entry.parsed().get("subsets") or ()) if entry is not None else ():
        for number in _matching(subset.get("ports") or (), port):
            yield from ((address["ip"], number) for address in subset.get("addresses") or ())


def _matching(ports: Any, stated: Mapping[str, Any]) -> Iterator[int]:
    for candidate in ports:
        if (candidate.get("name") or "") == (stated.get("name") or ""):
            yield candidate["port"]
