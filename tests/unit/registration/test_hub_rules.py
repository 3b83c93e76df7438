"""The rules behind the hub's registration controllers, as pure functions."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from merope.registration import cluster_rbac
from merope.registration.acceptance import is_first_request
from merope.registration.approval import ClusterRequest, decide, recognise
from merope.registration.hub.cleanup import next_to_delete, priority, remaining_message
from merope.registration.hub.lease import grace_of, renewed_at, seconds_left
from merope.registration.hub.managed_namespaces import wanted_namespaces
from merope.registration.hub.taints import wanted_taints
from merope.sdk.clustersets import UnknownSelectorType, set_selector, sets_of
from merope.sdk.rbac import merged

SIGNER = "kubernetes.io/kube-apiserver-client"
LABEL = "open-cluster-management.io/cluster-name"
ALL = "system:open-cluster-management:managed-clusters"


def csr(
    cluster: str = "c1",
    name: str = "system:open-cluster-management:c1:agent",
    organizations: tuple[str, ...] = ("system:open-cluster-management:c1", ALL),
    *,
    signer: str = SIGNER,
    username: str = "",
    groups: tuple[str, ...] = ("system:serviceaccounts:open-cluster-management",),
    conditions: tuple[str, ...] = (),
) -> dict[str, Any]:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
    attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, name))
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes)).sign(key, hashes.SHA256())
    encoded = base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()
    return {
        "metadata": {"name": "x", "labels": {LABEL: cluster} if cluster else {}},
        "spec": {"request": encoded, "signerName": signer, "username": username, "groups": list(groups)},
        "status": {"conditions": [{"type": each, "status": "True"} for each in conditions]},
    }


def test_a_request_for_a_clusters_certificate_is_recognised_by_its_subject() -> None:
    expected = ClusterRequest("c1", "system:open-cluster-management:c1:agent")

    assert recognise(csr()) == expected
    assert recognise(csr(organizations=("system:open-cluster-management:c1",))) == expected


@pytest.mark.parametrize(
    "forged",
    [
        csr(cluster=""),
        csr(cluster="c2"),
        csr(signer="example.com/other"),
        csr(organizations=("system:open-cluster-management:c1", "system:open-cluster-management:c2", ALL)),
        csr(organizations=("system:open-cluster-management:c1", "system:masters")),
        csr(organizations=(ALL,)),
        csr(name="system:open-cluster-management:c1"),
        csr(name="system:open-cluster-management:c1:"),
        csr(name="system:open-cluster-management:c1:b:c"),
        csr(name="system:open-cluster-management:c2:agent"),
        csr(
            cluster="a",
            name="system:open-cluster-management:a:b:c",
            organizations=("system:open-cluster-management:a",),
        ),
        csr(name="somebody"),
        {"metadata": {"labels": {LABEL: "c1"}}, "spec": {"signerName": SIGNER, "request": "bm9uZQ=="}},
    ],
)
def test_anything_else_is_not(forged: dict[str, Any]) -> None:
    assert recognise(forged) is None


@pytest.mark.parametrize(
    ("username", "conditions", "auto", "decision"),
    [
        ("system:open-cluster-management:c1:agent", (), (), "ask"),
        ("system:open-cluster-management:c1:agent", ("Approved",), (), "ignore"),
        ("system:open-cluster-management:c2:agent", (), (), "ignore"),
        ("bootstrap", (), (), "ignore"),
        ("bootstrap", (), ("bootstrap",), "approve"),
        ("bootstrap", ("Denied",), ("bootstrap",), "ignore"),
    ],
)
def test_only_renewals_and_configured_users_are_approved_without_a_person(
    username: str, conditions: tuple[str, ...], auto: tuple[str, ...], decision: str
) -> None:
    request = csr(username=username, conditions=conditions)
    recognised = recognise(request)
    assert recognised is not None

    assert decide(request, recognised, auto) == decision


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_request_of_two_parts_is_not_recognised(order: tuple[int, int]) -> None:
    """The signer might read the other part, which can ask for anything."""
    own = csr()
    other = csr(name="system:admin", organizations=("system:masters",))
    parts = [base64.b64decode(each["spec"]["request"]) for each in (own, other)]
    both = b"".join(parts[index] for index in order).replace(b"BEGIN CERT", b"BEGIN NEW CERT", 1)

    for content in (b"".join(parts[index] for index in order), both):
        own["spec"]["request"] = base64.b64encode(content).decode()
        assert recognise(own) is None


def test_accepting_approves_requests_of_bootstrap_identities_only() -> None:
    bootstrap = "system:serviceaccount:open-cluster-management:agent-registration-bootstrap"

    assert is_first_request(csr(username=bootstrap), "c1")
    assert is_first_request(
        csr(username="system:bootstrap:abcdef", groups=("system:bootstrappers:managedcluster",)), "c1"
    )
    assert not is_first_request(csr(username=bootstrap, groups=("system:authenticated",)), "c1")
    assert not is_first_request(csr(username="system:open-cluster-management:c1:agent"), "c1")
    assert not is_first_request(csr(username=bootstrap), "c2")


UNREACHABLE = {"key": "cluster.open-cluster-management.io/unreachable", "effect": "NoSelect"}
UNAVAILABLE = {"key": "cluster.open-cluster-management.io/unavailable", "effect": "NoSelect"}
MINE = {"key": "mine", "value": "x", "effect": "NoSelect"}
OTHER_EFFECT = {"key": UNREACHABLE["key"], "effect": "PreferNoSelect"}


@pytest.mark.parametrize(
    ("before", "available", "after"),
    [
        ([], None, [UNREACHABLE]),
        ([MINE], "Unknown", [MINE, UNREACHABLE]),
        ([MINE, UNAVAILABLE], "Unknown", [MINE, UNREACHABLE]),
        ([UNREACHABLE], "False", [UNAVAILABLE]),
        ([UNREACHABLE, MINE, UNAVAILABLE], "True", [MINE]),
        ([{**UNREACHABLE, "timeAdded": "T"}], None, [{**UNREACHABLE, "timeAdded": "T"}]),
        ([OTHER_EFFECT], "True", [OTHER_EFFECT]),
    ],
)
def test_taints_follow_availability_and_leave_others_alone(before: Any, available: str | None, after: Any) -> None:
    assert wanted_taints(before, available) == after


def test_the_permissions_of_a_cluster_name_that_cluster_only() -> None:
    role = cluster_rbac.cluster_role("c1", accepted=True)
    named = [rule for rule in role["rules"] if "managedclusters" in "".join(rule["resources"])]

    assert all(rule.get("resourceNames") == ["c1"] for rule in named if rule["verbs"] != ["renew"])
    denied = cluster_rbac.cluster_role("c1", accepted=False)["rules"]
    assert [rule["verbs"] for rule in denied] == [["get", "list", "watch"]]
    for binding in cluster_rbac.role_bindings("c1"):
        assert binding["metadata"]["namespace"] == "c1"
        assert {each["name"] for each in binding["subjects"]} == {
            "system:open-cluster-management:c1",
            "open-cluster-management:c1",
        }


def test_an_update_of_rbac_keeps_foreign_labels_and_finalizers() -> None:
    found = {"metadata": {"name": "r", "labels": {"a": "b", "gone": "x"}, "finalizers": ["f"]}, "rules": [1]}
    wanted = {"metadata": {"name": "r", "labels": {"c": "d", "gone-": ""}, "finalizers": ["other"]}, "rules": [2]}

    assert merged(found, wanted) == {
        "metadata": {"name": "r", "labels": {"a": "b", "c": "d"}, "finalizers": ["f"]},
        "rules": [2],
    }


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [({}, 300), ({"leaseDurationSeconds": 0}, 300), ({"leaseDurationSeconds": 2}, 10)],
)
def test_a_cluster_may_be_silent_for_five_lease_durations(spec: dict[str, Any], seconds: int) -> None:
    assert grace_of({"spec": spec}) == timedelta(seconds=seconds)


@pytest.mark.parametrize("seconds", [0, -1, -(2**31)])
def test_a_lease_duration_that_is_none_counts_as_the_default(seconds: int) -> None:
    """An agent may write its cluster's spec: a negative duration must not make the hub look again without end."""
    assert grace_of({"spec": {"leaseDurationSeconds": seconds}}) == timedelta(seconds=300)


@pytest.mark.parametrize("renewed", ["9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00.000000Z"])
@pytest.mark.parametrize("seconds", [1, 2**31 - 1])
def test_absurd_times_of_leases_are_only_numbers(renewed: str, seconds: int) -> None:
    left = seconds_left({"spec": {"renewTime": renewed}}, grace_of({"spec": {"leaseDurationSeconds": seconds}}))

    assert (left > 0) is (renewed.startswith("9"))


def test_a_lease_that_says_nothing_readable_has_no_time() -> None:
    assert renewed_at({}) is None
    assert renewed_at({"spec": {"renewTime": "soon"}}) is None
    moment = renewed_at({"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}})
    assert moment is not None
    assert moment.tzinfo is not None


LABEL_SET = "cluster.open-cluster-management.io/clusterset"


@pytest.mark.parametrize(
    ("spec", "labels", "member"),
    [
        (None, {LABEL_SET: "s"}, True),
        ({}, {LABEL_SET: "other"}, False),
        ({"clusterSelector": {"selectorType": "ExclusiveClusterSetLabel"}}, {LABEL_SET: "s"}, True),
        ({"clusterSelector": {"selectorType": "LabelSelector"}}, {"a": "b"}, False),
        ({"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {}}}, {}, True),
        (
            {"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {"matchLabels": {"a": "b"}}}},
            {"a": "b"},
            True,
        ),
    ],
)
def test_sets_select_by_exclusive_label_or_by_selector(spec: Any, labels: dict[str, str], member: bool) -> None:
    assert set_selector("s", spec).matches(labels) is member
    assert sets_of(labels, [("s", set_selector("s", spec))]) == (["s"] if member else [])


def test_a_selector_of_an_unknown_type_is_an_error() -> None:
    with pytest.raises(UnknownSelectorType, match="'Odd'"):
        set_selector("s", {"clusterSelector": {"selectorType": "Odd"}})


def test_managed_namespaces_are_the_union_over_sets_and_keep_what_the_agent_wrote() -> None:
    conditions = [{"type": "NamespaceAvailable", "status": "True"}]
    before = [{"clusterSet": "b", "name": "x", "conditions": conditions}, {"clusterSet": "gone", "name": "y"}]
    sets = [("b", {"managedNamespaces": [{"name": "x"}]}), ("a", {"managedNamespaces": [{"name": "z"}, {"name": "x"}]})]

    assert wanted_namespaces(sets, before) == [
        {"clusterSet": "a", "name": "x"},
        {"clusterSet": "a", "name": "z"},
        {"clusterSet": "b", "name": "x", "conditions": conditions},
    ]


def prioritised(name: str, value: str | None, finalizers: list[str] | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name}
    if value is not None:
        metadata["annotations"] = {"open-cluster-management.io/cleanup-priority": value}
    if finalizers:
        metadata["finalizers"] = finalizers
    return {"metadata": metadata}


@pytest.mark.parametrize(
    ("text", "value"),
    [(None, 0), ("5", 5), ("100", 100), ("101", 0), ("-1", 0), ("x", 0), ("1_0", 0), (" 7", 0), ("٣", 0)],
)
def test_priorities_outside_their_range_count_as_none(text: str | None, value: int) -> None:
    assert priority(prioritised("a", text)) == value


def test_clean_up_goes_from_low_to_high_priority() -> None:
    objects = [prioritised("late", "9"), prioritised("early", None), prioritised("odd", "x", ["f"])]

    assert [each["metadata"]["name"] for each in next_to_delete(objects)] == ["early", "odd"]
    assert remaining_message("manifestworks", objects) == (
        "The resource manifestworks is remaning, the remaining count is 3, the finalizer pending count is 1"
    )
