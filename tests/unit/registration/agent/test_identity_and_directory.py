"""Names of agents, and the files of their hub credential."""

from __future__ import annotations

import hashlib
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from merope.kube import ConfigError, KubeConfig
from merope.registration.agent.directory import HubDirectory
from merope.registration.agent.identity import Identity, choose_identity, hub_hash, random_agent_id
from merope.sdk.credentials import Subject, generate_key, kubeconfig_from, signing_request

NOW = datetime(2030, 1, 1, tzinfo=UTC)
IDENTITY = Identity("c1", "a1")
BOOTSTRAP = KubeConfig.parse(
    {
        "clusters": [{"name": "hub", "cluster": {"server": "https://hub.example.com:6443"}}],
        "contexts": [{"name": "x", "context": {"cluster": "hub", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "current-context": "x",
    }
)


def issue(key: bytes, subject: Subject, end: datetime = NOW + timedelta(days=1)) -> bytes:
    request = x509.load_pem_x509_csr(signing_request(key, subject))
    private = serialization.load_pem_private_key(key, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    builder = x509.CertificateBuilder(request.subject, request.subject, request.public_key(), 7, NOW, end)
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def content(subject: Subject = IDENTITY.subject, end: datetime = NOW + timedelta(days=1)) -> dict[str, bytes]:
    key = generate_key()
    return {"tls.crt": issue(key, subject, end), "tls.key": key, "kubeconfig": kubeconfig_from(BOOTSTRAP)}


@pytest.fixture
def directory(tmp_path: Path) -> HubDirectory:
    made = HubDirectory(tmp_path / "deep" / "hub")
    made.prepare()
    return made


@pytest.mark.parametrize(
    ("flags", "stored", "expected"),
    [
        (("c1", "a1"), ("c2", "a2"), ("c1", "a1")),
        (("", ""), ("c2", "a2"), ("c2", "a2")),
        (("c1", ""), ("c2", "a2"), ("c1", "a2")),
    ],
)
def test_names_are_those_given_else_those_stored(
    flags: tuple[str, str], stored: tuple[str, str], expected: tuple[str, str]
) -> None:
    assert choose_identity(*flags, *stored) == Identity(*expected)


def test_names_are_random_where_none_are_known() -> None:
    one, other = choose_identity("", "", "", ""), choose_identity("", "", "", "")

    assert one.cluster_name != other.cluster_name
    assert len(one.cluster_name) == 36
    assert one.agent_id != other.agent_id


def test_an_agents_id_has_five_characters_that_make_no_words() -> None:
    for _ in range(50):
        made = random_agent_id()
        assert len(made) == 5
        assert set(made) <= set("bcdfghjklmnpqrstvwxz2456789")


@pytest.mark.parametrize("name", ["Upper", "dotted.name", "x" * 64, "-a"])
def test_a_cluster_has_a_dns_label_for_a_name(name: str) -> None:
    with pytest.raises(ConfigError, match=r"metadata\.name format is not correct"):
        choose_identity(name, "", "", "")


def test_the_hub_is_told_by_the_hash_of_its_url() -> None:
    assert hub_hash(BOOTSTRAP) == hashlib.sha256(b"https://hub.example.com:6443").hexdigest()


def test_files_are_for_their_owner_only_and_written_where_they_differ(directory: HubDirectory) -> None:
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700

    first = directory.dump({"tls.crt": b"1", "tls.key": b"2"})
    second = directory.dump({"tls.crt": b"1", "tls.key": b"3"})

    assert first == ["tls.key", "tls.crt"]
    assert second == ["tls.key"]
    assert directory.read("tls.key") == b"3"
    assert {stat.S_IMODE(file.stat().st_mode) for file in directory.path.iterdir()} == {0o600}
    assert sorted(file.name for file in directory.path.iterdir()) == ["tls.crt", "tls.key"]


def test_files_that_are_not_in_the_secret_stay(directory: HubDirectory) -> None:
    directory.dump({"cluster-name": b"c1", "agent-name": b"a1"})
    directory.dump({"tls.crt": b"1"})

    assert directory.stored_names() == ("c1", "a1")


def test_keys_of_a_secret_lead_nowhere_else(directory: HubDirectory) -> None:
    assert directory.dump({"../escaped": b"x", "..": b"y"}) == []
    assert not (directory.path.parent / "escaped").exists()


def test_a_complete_credential_has_no_problem(directory: HubDirectory) -> None:
    directory.dump(content())

    assert directory.problem(BOOTSTRAP, IDENTITY, NOW) is None
    assert directory.problem(None, IDENTITY, NOW) is None


@pytest.mark.parametrize(
    ("files", "now", "part"),
    [
        ({}, NOW, "no hub kubeconfig"),
        ({"kubeconfig": kubeconfig_from(BOOTSTRAP)}, NOW, "no client certificate"),
        (content(Identity("c1", "a2").subject), NOW, "not for agent a1 of cluster c1"),
        (content(Subject("somebody")), NOW, "not for agent a1"),
        (content(Subject("system:open-cluster-management:c1:a1:x")), NOW, "not for agent a1"),
        (content(), NOW + timedelta(days=2), "expired"),
        ({**content(), "tls.crt": b"junk"}, NOW, "can't be read"),
        ({**content(), "kubeconfig": kubeconfig_from(BOOTSTRAP).replace(b"hub.ex", b"hub2.ex")}, NOW, "another hub"),
    ],
)
def test_what_keeps_a_credential_from_being_used_is_said(
    directory: HubDirectory, files: dict[str, bytes], now: datetime, part: str
) -> None:
    directory.dump(files)

    problem = directory.problem(BOOTSTRAP, IDENTITY, now)

    assert problem is not None
    assert part in problem


def test_groups_do_not_decide_over_a_credential_that_is_stored(directory: HubDirectory) -> None:
    directory.dump(content(Subject(IDENTITY.subject.common_name)))

    assert directory.problem(BOOTSTRAP, IDENTITY, NOW) is None


def test_a_replaced_certificate_is_judged_anew(directory: HubDirectory) -> None:
    directory.dump(content(end=NOW + timedelta(seconds=1)))
    assert directory.certificate_problem(IDENTITY, NOW + timedelta(hours=1)) is not None

    directory.dump(content())

    assert directory.certificate_problem(IDENTITY, NOW + timedelta(hours=1)) is None
