"""What admission lets through of ManagedClusters and bindings, and what it says otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from merope.registration.admission import (
    check_shape,
    mutate_cluster,
    stamp_taints,
    validate_binding,
    validate_cluster,
    webhook_configurations,
)
from merope.sdk.admission import AdmissionRequest, Denied, Permission, Requester

SET = "cluster.open-cluster-management.io/clusterset"
NOW = "2026-01-01T00:00:00Z"


class Hub:
    """A hub where the requester has the given permissions."""

    def __init__(self, *permissions: str, phase: str = "") -> None:
        self.permissions = permissions
        self.phase = phase
        self.asked: list[str] = []

    async def allows(self, requester: Requester, permission: Permission) -> bool:
        resource = f"{permission.resource}/{permission.subresource}".rstrip("/")
        text = f"{permission.verb} {resource}.{permission.group} {permission.name}"
        self.asked.append(text)
        return text in self.permissions

    async def namespace_phase(self, name: str) -> str:
        return self.phase


def cluster(name: str = "c1", *, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name}
    if labels is not None:
        metadata["labels"] = labels
    return {"metadata": metadata, "spec": spec}


def request(obj: dict[str, Any], old: dict[str, Any] | None = None) -> AdmissionRequest:
    operation = "CREATE" if old is None else "UPDATE"
    return AdmissionRequest("u", operation, obj["metadata"]["name"], requester=Requester("bob"), object=obj, old=old)


ACCEPT = "update managedclusters/accept.register.open-cluster-management.io c1"
JOIN = "create managedclustersets/join.cluster.open-cluster-management.io "


async def test_a_cluster_that_accepts_itself_needs_the_permission_to_accept() -> None:
    hub = Hub()

    with pytest.raises(Denied) as caught:
        await validate_cluster(request(cluster(hubAcceptsClient=True)), hub)

    assert caught.value.code == 403
    assert caught.value.message == (
        'managedclusters/accept.cluster.open-cluster-management.io "c1" is forbidden: '
        'user "bob" cannot update the HubAcceptsClient field'
    )
    await validate_cluster(request(cluster(hubAcceptsClient=True)), Hub(ACCEPT))


async def test_acceptance_is_asked_for_on_the_transition_only() -> None:
    accepted, pending = cluster(hubAcceptsClient=True), cluster(hubAcceptsClient=False)

    for new, old, asked in [(accepted, pending, True), (accepted, accepted, False), (pending, accepted, False)]:
        hub = Hub(ACCEPT)
        await validate_cluster(request(new, old), hub)
        assert (ACCEPT in hub.asked) is asked


async def test_nothing_is_accepted_into_a_namespace_that_is_going() -> None:
    with pytest.raises(Denied, match='cluster namespace "c1" is terminating'):
        await validate_cluster(request(cluster(hubAcceptsClient=True)), Hub(ACCEPT, phase="Terminating"))


async def test_moving_between_sets_needs_both_the_old_one_first() -> None:
    hub = Hub(JOIN + "a", JOIN + "b")

    await validate_cluster(request(cluster(labels={SET: "b"}), cluster(labels={SET: "a"})), hub)

    assert hub.asked == [JOIN + "a", JOIN + "b"]
    with pytest.raises(Denied) as caught:
        await validate_cluster(request(cluster(labels={SET: "b"}), cluster(labels={SET: "a"})), Hub(JOIN + "b"))
    assert caught.value.message == (
        'managedclustersets/join.cluster.open-cluster-management.io "a" is forbidden: '
        'user "bob" cannot add/remove a ManagedCluster to/from ManagedClusterSet "a"'
    )


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        (cluster(managedClusterClientConfigs=[{"url": "http://x"}]), 'url "http://x" is invalid in client configs'),
        (cluster(managedClusterClientConfigs=[{"url": "https://["}]), 'url "https://[" is invalid in client configs'),
        (cluster(managedClusterClientConfigs=[{"url": " https://x"}]), 'url " https://x" is invalid in client configs'),
        (cluster("A", managedClusterClientConfigs=[{"url": "https://x"}]), "metadata.name format is not correct: "),
        (cluster("A"), ""),
        (cluster(managedClusterClientConfigs=[{"url": "https://x"}]), ""),
    ],
)
def test_the_shape_of_a_cluster_is_checked(obj: dict[str, Any], text: str) -> None:
    if not text:
        check_shape(obj)
        return
    with pytest.raises(Denied) as caught:
        check_shape(obj)
    assert caught.value.code == 400
    assert caught.value.message.startswith(text)


@pytest.mark.parametrize(
    ("labels", "patch"),
    [
        (None, [{"op": "add", "path": "/metadata/labels", "value": {SET: "default"}}]),
        ({"x": "y"}, [{"op": "add", "path": f"/metadata/labels/{SET.replace('/', '~1')}", "value": "default"}]),
        ({SET: ""}, [{"op": "add", "path": f"/metadata/labels/{SET.replace('/', '~1')}", "value": "default"}]),
        ({SET: "mine"}, None),
    ],
)
async def test_a_cluster_without_a_set_goes_to_the_default_one(labels: Any, patch: Any) -> None:
    assert await mutate_cluster(request(cluster(labels=labels)), Hub()) == patch


def taint(key: str = "k", value: str = "v", effect: str = "NoSelect", **more: Any) -> dict[str, Any]:
    return {"key": key, "value": value, "effect": effect, **more}


def test_taints_get_their_time_from_the_hub() -> None:
    old = taint(timeAdded="2020-01-01T00:00:00Z")

    assert stamp_taints([old], None, NOW) == [taint(timeAdded=NOW)]
    assert stamp_taints([old], [old], NOW) == [old]
    assert stamp_taints([taint(value="w")], [old], NOW) == [taint(value="w", timeAdded=NOW)]
    assert stamp_taints([taint("new", timeAdded=None)], [old], NOW) == [taint("new", timeAdded=NOW)]
    refused = [taint("a", timeAdded=NOW), taint(value="w", timeAdded=NOW), taint(timeAdded=NOW)]
    with pytest.raises(Denied) as caught:
        stamp_taints(refused, [old], NOW)
    assert caught.value.message == 'It is not allowed to set TimeAdded of Taint "a,k,k".'


def binding(name: str, cluster_set: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "team"}, "spec": {"clusterSet": cluster_set}}


async def test_a_binding_has_the_name_of_its_set_and_needs_the_permission_to_bind() -> None:
    with pytest.raises(Denied) as caught:
        await validate_binding(request(binding("a", "b")), Hub())
    assert (caught.value.code, caught.value.message) == (
        400,
        "The ManagedClusterSetBinding must have the same name as the target ManagedClusterSet",
    )
    with pytest.raises(Denied) as caught:
        await validate_binding(request(binding("dev", "dev")), Hub())
    assert caught.value.message == (
        'managedclustersets/bind.apps "dev" is forbidden: user "bob" is not allowed to bind cluster set "dev"'
    )
    await validate_binding(request(binding("dev", "dev"), binding("dev", "dev")), Hub())


def test_the_registrations_are_those_of_the_reference() -> None:
    found = {each["webhooks"][0]["name"]: each for each in webhook_configurations("https://h:1", "Q0E=")}

    assert set(found) == {
        "managedclustermutators.admission.cluster.open-cluster-management.io",
        "managedclustervalidators.admission.cluster.open-cluster-management.io",
        "managedclustersetbindingvalidators.admission.cluster.open-cluster-management.io",
    }
    hook = found["managedclustersetbindingvalidators.admission.cluster.open-cluster-management.io"]["webhooks"][0]
    assert hook["clientConfig"]["url"] == (
        "https://h:1/validate-cluster-open-cluster-management-io-v1beta2-managedclustersetbinding"
    )
    assert hook["rules"][0]["apiVersions"] == ["v1beta2"]


@pytest.mark.parametrize("spec", [{"taints": "x"}, {"taints": ["x"]}, {"taints": {"a": 1}}, {"taints": [None]}])
async def test_taints_that_are_none_are_refused_before_the_schema_is_asked(spec: dict[str, Any]) -> None:
    with pytest.raises(Denied) as caught:
        await mutate_cluster(request(cluster(**spec)), Hub())

    assert caught.value.code == 400
