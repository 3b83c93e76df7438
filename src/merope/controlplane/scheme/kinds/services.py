"""Services, and the endpoints behind them.

The server allocates addresses and node ports, and an update that leaves them out keeps them: a manifest that does not
name them can be applied again and again.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final

from merope.controlplane.errors import (
    FieldError,
    duplicate,
    forbidden_field,
    internal,
    invalid_value,
    required,
)
from merope.controlplane.resource import Object, Request, Strategy
from merope.controlplane.scheme.kinds.addresses import NODE_PORTS, RANGE, Addresses, Exhausted, addresses
from merope.controlplane.scheme.kinds.base import (
    PROTOCOLS,
    BuiltinStrategy,
    NoStatus,
    TracksContent,
    check_enum,
    check_immutable,
    check_name,
    check_port,
    default_to,
    items,
    spec_of,
)
from merope.lang import names

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_SINGLE: Final = "this cluster is not configured for dual-stack services"


def _is_external_name(spec: Object) -> bool:
    return spec.get("type") == "ExternalName"


def _has_node_ports(spec: Object) -> bool:
    """Whether the server gives node ports to the ports that name none."""
    if spec.get("type") == "LoadBalancer":
        return bool(spec.get("allocateLoadBalancerNodePorts", True))
    return spec.get("type") == "NodePort"


def _is_health_checked(spec: Object) -> bool:
    """Whether load balancers ask the nodes of a service for its health."""
    return bool(spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local")


class ServiceStrategy(BuiltinStrategy):
    create_on_update = True
    delete_returns_object = True
    name_rule = "label1035"

    def fill(self, obj: Object) -> None:
        spec = spec_of(obj)
        default_to(spec, type="ClusterIP", sessionAffinity="None")
        if spec["sessionAffinity"] == "None":
            spec.pop("sessionAffinityConfig", None)
        elif spec["sessionAffinity"] == "ClientIP":
            default_to(spec, sessionAffinityConfig={})
            default_to(spec["sessionAffinityConfig"], clientIP={})
            default_to(spec["sessionAffinityConfig"]["clientIP"], timeoutSeconds=10800)
        for port in items(spec, "ports"):
            default_to(port, protocol="TCP")
            if not port.get("targetPort"):
                port["targetPort"] = port.get("port", 0)
        if not _is_external_name(spec):
            default_to(spec, internalTrafficPolicy="Cluster")
        if spec["type"] in ("NodePort", "LoadBalancer"):
            default_to(spec, externalTrafficPolicy="Cluster")
        if spec["type"] == "LoadBalancer":
            default_to(spec, allocateLoadBalancerNodePorts=True)
        for ingress in ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            if ingress.get("ip"):
                default_to(ingress, ipMode="VIP")

    def prepare_create(self, server: Server, request: Request, obj: Object) -> None:
        super().prepare_create(server, request, obj)
        spec = spec_of(obj)
        _fill_families(spec)
        if not _check_before_allocation(spec):
            _allocate(addresses(server), spec)

    def prepare_update(self, server: Server, request: Request, obj: Object, old: Object) -> None:
        super().prepare_update(server, request, obj, old)
        if request.subresource == "status":
            return
        spec, before = spec_of(obj), spec_of(old)
        _carry_over(spec, before)
        _drop_of_other_types(spec, before)
        _fill_families(spec)
        if not _check_before_allocation(spec) and spec != before:
            _allocate(addresses(server), spec)

    def validate(self, server: Server, request: Request, obj: Object, old: Object | None) -> list[FieldError]:
        spec = spec_of(obj)
        if request.subresource == "status":
            return []
        early = _check_before_allocation(spec)
        if early and old is not None:
            return early
        complaints = [*early, *_check(spec)]
        if old is None:
            complaints += _check_claims(addresses(server), spec)
        else:
            complaints += _check_change(spec, spec_of(old))
        return complaints


def _fill_families(spec: Object) -> None:
    """The families of the addresses; a headless service without a selector may be of both."""
    if _is_external_name(spec):
        return
    headless = spec.get("clusterIP") == "None" or "None" in (spec.get("clusterIPs") or ())
    if spec.get("ipFamilyPolicy") is None:
        both = headless and not spec.get("selector")
        spec["ipFamilyPolicy"] = "RequireDualStack" if both and not spec.get("ipFamilies") else "SingleStack"
    if not spec.get("ipFamilies"):
        spec["ipFamilies"] = ["IPv4", "IPv6"] if spec["ipFamilyPolicy"] == "RequireDualStack" and headless else ["IPv4"]
    if headless:
        spec["clusterIP"] = "None"
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    elif spec.get("clusterIPs") and not spec.get("clusterIP"):
        spec["clusterIP"] = spec["clusterIPs"][0]


def _check_before_allocation(spec: Object) -> list[FieldError]:
    """What has to be right before an address is given: this server has IPv4 only."""
    if _is_external_name(spec) or spec.get("clusterIP") == "None":
        return []
    complaints = [
        invalid_value(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")
        for index, family in enumerate(spec.get("ipFamilies") or ())
        if family == "IPv6"
    ]
    if spec.get("ipFamilyPolicy") == "RequireDualStack":
        complaints.append(invalid_value("spec.ipFamilyPolicy", "RequireDualStack", _SINGLE))
    return complaints


def _allocate(taken: Addresses, spec: Object) -> None:
    if spec.get("type") not in _TYPES:
        return
    try:
        if not _is_external_name(spec) and not spec.get("clusterIP"):
            spec["clusterIP"] = taken.address()
            spec["clusterIPs"] = [spec["clusterIP"]]
        if _has_node_ports(spec):
            for port in items(spec, "ports"):
                if not port.get("nodePort"):
                    port["nodePort"] = taken.node_port()
            if _is_health_checked(spec) and not spec.get("healthCheckNodePort"):
                spec["healthCheckNodePort"] = taken.node_port()
    except Exhausted as error:
        raise internal(f"failed to allocate a serviceIP or port: {error}") from None


def _carry_over(spec: Object, old: Object) -> None:
    """What was allocated stays where the new object leaves it out and still needs it."""
    if not _is_external_name(spec) and not _is_external_name(old):
        if not spec.get("clusterIP") and not spec.get("clusterIPs"):
            for key in ("clusterIP", "clusterIPs"):
                if old.get(key):
                    spec[key] = old[key]
        elif spec.get("clusterIP") != old.get("clusterIP") and spec.get("clusterIPs") == old.get("clusterIPs"):
            # Clients that know only the older of both fields change only that one.
            spec["clusterIPs"] = [spec["clusterIP"]] if spec.get("clusterIP") else []
        for key in ("ipFamilyPolicy", "ipFamilies"):
            if not spec.get(key) and old.get(key):
                spec[key] = old[key]
    if _has_node_ports(spec) and _has_node_ports(old):
        known = {(port.get("port"), port.get("protocol")): port.get("nodePort") for port in items(old, "ports")}
        used = {port["nodePort"] for port in items(spec, "ports") if port.get("nodePort")}
        for port in items(spec, "ports"):
            before = known.get((port.get("port"), port.get("protocol")))
            if not port.get("nodePort") and before and before not in used:
                port["nodePort"] = before
                used.add(before)
    if _is_health_checked(spec) and old.get("healthCheckNodePort") and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = old["healthCheckNodePort"]


def _drop_of_other_types(spec: Object, old: Object) -> None:
    """A change of type takes along what only the old type has, unless the client changed that itself."""
    if spec.get("type") == old.get("type"):
        return
    if _is_external_name(spec):
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            if spec.get(key) == old.get(key):
                spec.pop(key, None)
    if spec.get("type") not in ("NodePort", "LoadBalancer"):
        before = {port.get("nodePort") for port in items(old, "ports")}
        for port in items(spec, "ports"):
            if port.get("nodePort") in before:
                port.pop("nodePort", None)
        if spec.get("externalTrafficPolicy") == old.get("externalTrafficPolicy"):
            spec.pop("externalTrafficPolicy", None)
    if spec.get("type") != "LoadBalancer":
        for key in ("healthCheckNodePort", "allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(key) == old.get(key):
                spec.pop(key, None)


def _check(spec: Object) -> list[FieldError]:
    kind = spec.get("type")
    headless = spec.get("clusterIP") == "None"
    complaints: list[FieldError] = []
    ports = items(spec, "ports")
    if not ports and not headless and not _is_external_name(spec):
        complaints.append(required("spec.ports"))
    if kind == "LoadBalancer" and headless:
        complaints.append(
            invalid_value("spec.clusterIPs[0]", "None", "may not be set to 'None' for LoadBalancer services")
        )
    if _is_external_name(spec):
        complaints += _check_external_name(spec)
    complaints += _check_ports(ports, named=len(ports) > 1, headless=headless)
    complaints += check_enum("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    complaints += check_enum("spec.type", kind, _TYPES)
    for key, supported in (
        ("externalTrafficPolicy", ("Cluster", "Local")),
        ("internalTrafficPolicy", ("Cluster", "Local")),
        ("ipFamilyPolicy", ("PreferDualStack", "RequireDualStack", "SingleStack")),
    ):
        complaints += check_enum(f"spec.{key}", spec.get(key), supported, optional=True)
    if spec.get("externalTrafficPolicy") and kind in ("ClusterIP", "ExternalName") and not spec.get("externalIPs"):
        value = spec["externalTrafficPolicy"]
        detail = "may only be set for externally-accessible services"
        complaints.append(invalid_value("spec.externalTrafficPolicy", value, detail))
    for index, address in enumerate(spec.get("externalIPs") or ()):
        if _ip(address) is None:
            detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            complaints.append(invalid_value(f"spec.externalIPs[{index}]", address, detail))
    if not complaints:
        complaints += _check_unique_ports(ports)
    return complaints


def _check_external_name(spec: Object) -> list[FieldError]:
    name = (spec.get("externalName") or "").removesuffix(".")
    complaints = []
    if spec.get("clusterIP"):
        detail = "may not be set for ExternalName services"
        complaints.append(forbidden_field("spec.clusterIPs", detail))
    return complaints + check_name("spec.externalName", name, names.is_dns1123_subdomain)


def _check_ports(ports: Any, *, named: bool, headless: bool) -> list[FieldError]:
    complaints: list[FieldError] = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name = port.get("name")
        if not name:
            if named:
                complaints.append(required(f"{path}.name"))
        else:
            complaints += check_name(f"{path}.name", name, names.is_dns1123_label)
            if name in seen:
                complaints.append(duplicate(f"{path}.name", name))
            seen.add(name)
        complaints += check_port(f"{path}.port", port.get("port"))
        complaints += check_enum(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
        target = port.get("targetPort")
        if isinstance(target, int):
            complaints += check_port(f"{path}.targetPort", target)
        elif isinstance(target, str) and not (
            target.islower() and target.replace("-", "").isalnum() and len(target) < 16
        ):
            detail = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
            complaints.append(invalid_value(f"{path}.targetPort", target, detail))
    return complaints


def _check_unique_ports(ports: Any) -> list[FieldError]:
    seen: set[tuple[Any, Any]] = set()
    complaints = []
    for index, port in enumerate(ports):
        key = (port.get("port"), port.get("protocol"))
        if key in seen:
            complaints.append(duplicate(f"spec.ports[{index}]", {"port": key[0], "protocol": key[1]}))
        seen.add(key)
    return complaints


def _check_claims(taken: Addresses, spec: Object) -> list[FieldError]:
    """Addresses and ports that the client chose have to be in range and free."""
    complaints = []
    for address in spec.get("clusterIPs") or ():
        if address == "None" or _is_external_name(spec):
            continue
        found = _ip(address)
        if found is None:
            detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            complaints.append(invalid_value("spec.clusterIPs[0]", address, detail))
        elif found not in RANGE:
            detail = f"failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. "
            complaints.append(invalid_value("spec.clusterIPs", [address], f"{detail}The range of valid IPs is {RANGE}"))
        elif taken.is_taken(address):
            detail = f"failed to allocate IP {address}: provided IP is already allocated"
            complaints.append(invalid_value("spec.clusterIPs", [address], detail))
    for index, port in enumerate(items(spec, "ports")):
        number = port.get("nodePort")
        if not number:
            continue
        path = f"spec.ports[{index}].nodePort"
        if spec.get("type") not in ("NodePort", "LoadBalancer"):
            complaints.append(forbidden_field(path, "may not be used when `type` is 'ClusterIP'"))
        elif number not in NODE_PORTS:
            detail = "provided port is not in the valid range. The range of valid ports is 30000-32767"
            complaints.append(invalid_value(path, number, detail))
        elif taken.is_taken(number):
            complaints.append(invalid_value(path, number, "provided port is already allocated"))
    return complaints


def _check_change(spec: Object, old: Object) -> list[FieldError]:
    """A service keeps its addresses unless it becomes, or was, another name for something outside."""
    if _is_external_name(spec) or _is_external_name(old):
        return []
    before, after = old.get("clusterIPs") or [], spec.get("clusterIPs") or []
    complaints = []
    if before and after and before[0] != after[0]:
        complaints.append(invalid_value("spec.clusterIPs[0]", after, "may not change once set"))
    elif before and not after:
        complaints.append(invalid_value("spec.clusterIPs[0]", None, "primary clusterIP can not be unset"))
    return complaints


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


# --- endpoints ---------------------------------------------------------------------------------------------------


class EndpointsStrategy(NoStatus):
    create_on_update = True

    def fill(self, obj: Object) -> None:
        for subset in items(obj, "subsets"):
            for port in items(subset, "ports"):
                default_to(port, protocol="TCP")

    def check(self, obj: Object) -> list[FieldError]:
        complaints: list[FieldError] = []
        for index, subset in enumerate(items(obj, "subsets")):
            path = f"subsets[{index}]"
            if not subset.get("addresses") and not subset.get("notReadyAddresses"):
                complaints.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
            for key in ("addresses", "notReadyAddresses"):
                for number, address in enumerate(items(subset, key)):
                    if _ip(address.get("ip", "")) is None:
                        detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
                        complaints.append(invalid_value(f"{path}.{key}[{number}].ip", address.get("ip", ""), detail))
            ports = items(subset, "ports")
            for number, port in enumerate(ports):
                if len(ports) > 1 and not port.get("name"):
                    complaints.append(required(f"{path}.ports[{number}].name"))
                complaints += check_port(f"{path}.ports[{number}].port", port.get("port"))
                complaints += check_enum(f"{path}.ports[{number}].protocol", port.get("protocol"), PROTOCOLS)
        return complaints


class EndpointSliceStrategy(TracksContent):
    def fill(self, obj: Object) -> None:
        for port in items(obj, "ports"):
            port.setdefault("name", "")
            default_to(port, protocol="TCP")

    def check(self, obj: Object) -> list[FieldError]:
        complaints = check_enum("addressType", obj.get("addressType"), ("FQDN", "IPv4", "IPv6"))
        for index, endpoint in enumerate(items(obj, "endpoints")):
            if not endpoint.get("addresses"):
                complaints.append(required(f"endpoints[{index}].addresses", "must contain at least 1 address"))
        return complaints

    def check_update(self, obj: Object, old: Object) -> list[FieldError]:
        return check_immutable("addressType", obj.get("addressType"), old.get("addressType"))


STRATEGIES: Final[dict[tuple[str, str], Strategy]] = {
    ("", "Service"): ServiceStrategy(),
    ("", "Endpoints"): EndpointsStrategy(),
    ("discovery.k8s.io", "EndpointSlice"): EndpointSliceStrategy(),
}
