"""Which signing requests an administrator approves, and how ``accept`` may be called."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from merope.cli.accept import remarks
from merope.cli.main import main
from merope.cli.options import spelled_out
from merope.registration.acceptance import review

OCM = "system:open-cluster-management:"
BOOTSTRAP = "system:serviceaccount:open-cluster-management:agent-registration-bootstrap"
GROUPS = ["system:serviceaccounts", "system:serviceaccounts:open-cluster-management", "system:authenticated"]
KEY = ec.generate_private_key(ec.SECP256R1())


def request(
    name: str, agent: str = "a1", *, user: str = BOOTSTRAP, groups: list[str] = GROUPS, cluster: str = "c", **state: Any
) -> dict[str, Any]:
    """A signing request for the certificate of an agent, labelled as one of cluster ``c``."""
    common_name = x509.NameAttribute(NameOID.COMMON_NAME, f"{OCM}{cluster}:{agent}")
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"{OCM}{cluster}"), common_name])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(KEY, hashes.SHA256())
    return {
        "metadata": {"name": name, "labels": {"open-cluster-management.io/cluster-name": "c"}},
        "spec": {
            "signerName": "kubernetes.io/kube-apiserver-client",
            "request": base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode(),
            "username": user,
            "groups": groups,
        },
        "status": state,
    }


def decided(type_: str) -> dict[str, Any]:
    return {"conditions": [{"type": type_, "status": "True"}]}


def names(csrs: list[dict[str, Any]]) -> list[str]:
    return [csr["metadata"]["name"] for csr in csrs]


def test_open_requests_of_one_requester_are_approved_and_decided_ones_told() -> None:
    found = review(
        [request("b"), request("a"), request("d", **decided("Denied")), request("e", **decided("Approved"))], "c"
    )

    assert (names(found.approve), found.denied, found.approved) == (["a", "b"], ["d"], ["e"])
    assert remarks(found, "c") == [("CSR d already denied", False), ("CSR e already approved", False)]


@pytest.mark.parametrize(
    ("user", "groups", "expected"),
    [
        (BOOTSTRAP, GROUPS, True),
        ("system:bootstrap:ocmhub", ["system:bootstrappers", "system:bootstrappers:managedcluster"], True),
        (
            "system:serviceaccount:open-cluster-management-hub:grpc-server-sa",
            ["system:serviceaccounts:open-cluster-management-hub"],
            True,
        ),
        (BOOTSTRAP, ["system:authenticated"], False),
        (f"{OCM}c:a1", GROUPS, False),
        ("somebody", GROUPS, False),
    ],
)
def test_only_identities_that_agents_bootstrap_with_count(user: str, groups: list[str], expected: bool) -> None:
    csr = request("a", user=user, groups=groups)

    assert names(review([csr], "c").approve) == (["a"] if expected else [])
    assert names(review([csr], "c", any_identity=True).approve) == ["a"]


def test_of_several_requesters_one_has_to_be_chosen() -> None:
    csrs = [request("x", "a1"), request("y", "a2")]

    found = review(csrs, "c")
    assert (found.approve, found.ambiguous) == ([], [f"{OCM}c:a1", f"{OCM}c:a2"])
    ((text, notice),) = remarks(found, "c")
    assert notice
    assert text.startswith(f"There are CSRs of different requesters: {OCM}c:a1,{OCM}c:a2, approve is skipped")

    found = review(csrs, "c", requesters=[f"{OCM}c:a2"])
    assert (names(found.approve), found.ambiguous) == (["y"], [])
    assert remarks(found, "c") == [(f"CSR x with requester {OCM}c:a1 is not in the approve list", False)]

    assert names(review(csrs, "c", any_identity=True).approve) == ["x", "y"]


@pytest.mark.parametrize("any_identity", [False, True])
def test_a_label_alone_gets_nobody_a_certificate(any_identity: bool) -> None:
    forged = request("forged", cluster="other")
    broken = request("broken") | {"spec": request("broken")["spec"] | {"request": "bm8gcmVxdWVzdA=="}}

    found = review([forged, broken], "c", any_identity=any_identity)

    assert (found.approve, found.invalid) == ([], ["broken", "forged"])
    assert remarks(found, "c")[0] == (
        "csr broken is not valid: it does not ask for the certificate of cluster c",
        True,
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("c1 --wait", "c1 --wait"),
        ("--wait 60 c1", "--wait --timeout 60 c1"),
        ("c1 --wait 0.5", "c1 --wait --timeout 0.5"),
        ("c1 --wait=60", "c1 --wait --timeout 60"),
        ("c1 --wait=true", "c1 --wait"),
        ("c1 --wait=false", "c1"),
        ("c1 --wait 0", "c1"),
        ("--wait c1", "--wait c1"),
        ("--wait --clusters c1", "--wait --clusters c1"),
        ("-- --wait 60", "-- --wait 60"),
    ],
)
def test_seconds_may_follow_wait(given: str, expected: str) -> None:
    assert spelled_out(given.split()) == expected.split()


def test_nothing_to_accept_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["accept", "--wait"]) == 1
    assert capsys.readouterr().err == "error: either --cluster or --clusters needs to be set\n"
