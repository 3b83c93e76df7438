"""Services get addresses and ports, and keep them."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from merope.controlplane.scheme.kinds.addresses import NODE_PORTS, RANGE
from unit.controlplane.scheme.pipeline import Server, create, resource, update

SERVICES = resource("services")


def service(server: Server | None = None, name: str = "s", **spec: Any) -> dict[str, Any]:
    obj, complaints = create(SERVICES, {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}, server)
    assert complaints == []
    return obj


def changed(
    old: dict[str, Any], spec: dict[str, Any], server: Server | None = None
) -> tuple[dict[str, Any], list[str]]:
    obj, complaints = update(SERVICES, {"spec": spec}, old, server)
    return obj["spec"], [str(one) for one in complaints]


def test_addresses_are_in_range_and_different() -> None:
    server = Server()
    found = [service(server)["spec"]["clusterIP"] for _ in range(50)]

    assert len(set(found)) == 50
    assert all(ipaddress.ip_address(one) in RANGE for one in found)


def test_node_ports_are_in_range_and_different() -> None:
    server = Server()
    found = [service(server, type="NodePort")["spec"]["ports"][0]["nodePort"] for _ in range(50)]

    assert len(set(found)) == 50
    assert all(one in NODE_PORTS for one in found)


def test_a_taken_address_is_refused() -> None:
    server = Server()
    first = service(server)
    server.store.add(first)

    _, complaints = create(
        SERVICES,
        {"metadata": {"name": "t"}, "spec": {"clusterIP": first["spec"]["clusterIP"], "ports": [{"port": 80}]}},
        server,
    )

    assert "provided IP is already allocated" in str(complaints[0])


def test_a_chosen_address_outside_the_range_is_refused() -> None:
    _, complaints = create(SERVICES, {"metadata": {}, "spec": {"clusterIP": "192.0.2.1", "ports": [{"port": 80}]}})

    assert [one.field for one in complaints] == ["spec.clusterIPs"]


def test_an_update_that_names_no_address_keeps_it() -> None:
    old = service(type="NodePort")

    spec, complaints = changed(old, {"type": "NodePort", "ports": [{"port": 80}], "selector": {"a": "b"}})

    assert complaints == []
    assert spec["clusterIP"] == old["spec"]["clusterIP"]
    assert spec["clusterIPs"] == old["spec"]["clusterIPs"]
    assert spec["ports"][0]["nodePort"] == old["spec"]["ports"][0]["nodePort"]


def test_an_address_does_not_change() -> None:
    old = service()

    _, complaints = changed(old, {"ports": [{"port": 80}], "clusterIP": "10.96.77.77"})

    assert complaints == ['spec.clusterIPs[0]: Invalid value: ["10.96.77.77"]: may not change once set']


def test_a_new_port_gets_a_node_port_of_its_own() -> None:
    old = service(type="NodePort")

    ports = [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]
    spec, complaints = changed(old, {"type": "NodePort", "ports": ports})

    assert complaints == []
    assert spec["ports"][0]["nodePort"] == old["spec"]["ports"][0]["nodePort"]
    assert spec["ports"][1]["nodePort"] not in (None, spec["ports"][0]["nodePort"])


def test_becoming_a_cluster_ip_gives_node_ports_back() -> None:
    old = service(type="NodePort")

    wanted = {**old["spec"], "type": "ClusterIP"}
    spec, complaints = changed(old, wanted)

    assert complaints == []
    assert "nodePort" not in spec["ports"][0]
    assert "externalTrafficPolicy" not in spec


def test_becoming_an_external_name_gives_the_address_back() -> None:
    old = service()

    spec, complaints = changed(old, {**old["spec"], "type": "ExternalName", "externalName": "x.example.com"})

    assert complaints == []
    assert "clusterIP" not in spec
    assert "clusterIPs" not in spec


@pytest.mark.parametrize(("selector", "policy"), [({"a": "b"}, "SingleStack"), (None, "RequireDualStack")])
def test_headless_services_have_no_address(selector: dict[str, str] | None, policy: str) -> None:
    found = service(clusterIP="None", selector=selector)["spec"]

    assert found["clusterIPs"] == ["None"]
    assert found["ipFamilyPolicy"] == policy


def test_health_checks_of_local_load_balancers_get_a_port() -> None:
    found = service(type="LoadBalancer", externalTrafficPolicy="Local")["spec"]

    assert found["healthCheckNodePort"] in NODE_PORTS


def test_a_status_write_leaves_the_spec() -> None:
    old = service(type="LoadBalancer")
    body = {"spec": {"type": "ClusterIP"}, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}

    obj, complaints = update(SERVICES, body, old, subresource="status")

    assert complaints == []
    assert obj["spec"] == old["spec"]
    assert obj["status"]["loadBalancer"]["ingress"] == [{"ip": "192.0.2.1", "ipMode": "VIP"}]
