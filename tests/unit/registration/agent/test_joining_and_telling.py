"""The ManagedCluster that an agent creates, the command line, and how problems are told."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import yaml

from merope.cli import agent as command
from merope.kube import ConfigError, ConnectionFailed, CredentialRefused, Forbidden, KubeError, Unauthorized
from merope.registration.agent import RegistrationAgentOptions
from merope.registration.agent.cluster_creation import add_client_configs, client_configs, new_cluster
from merope.registration.agent.reporting import Reporter, explain, is_refused
from merope.registration.agent.session import _admission_pause


def test_a_new_cluster_carries_only_what_is_meant_for_the_hub(caplog: pytest.LogCaptureFixture) -> None:
    annotations = {"agent.open-cluster-management.io/zone": "z", "private": "x"}

    cluster = new_cluster("c1", annotations, client_configs(["https://c1.example.com"], b"CA"))

    assert cluster == {
        "apiVersion": "cluster.open-cluster-management.io/v1",
        "kind": "ManagedCluster",
        "metadata": {"name": "c1", "annotations": {"agent.open-cluster-management.io/zone": "z"}},
        "spec": {
            "hubAcceptsClient": False,
            "managedClusterClientConfigs": [{"url": "https://c1.example.com", "caBundle": "Q0E="}],
        },
    }
    assert "private left out" in caplog.text


def test_a_cluster_without_external_addresses_says_nothing_of_them() -> None:
    assert new_cluster("c1", {}, [])["spec"] == {"hubAcceptsClient": False}


def test_client_configurations_are_added_where_url_or_ca_differ() -> None:
    cluster = new_cluster("c1", {}, client_configs(["https://a"], b"CA"))

    add_client_configs(cluster, client_configs(["https://a", "https://b"], b"CA"))
    add_client_configs(cluster, client_configs(["https://a"], b"CB"))

    configs = cluster["spec"]["managedClusterClientConfigs"]
    assert [(each["url"], each["caBundle"]) for each in configs] == [
        ("https://a", "Q0E="),
        ("https://b", "Q0E="),
        ("https://a", "Q0I="),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"external_server_urls": ["http://c1"]}, '"http://c1" is invalid'),
        ({"health_check_period": 0}, "healthcheck period"),
        ({"client_cert_expiration_seconds": 600}, "3600"),
    ],
)
def test_options_that_no_agent_can_run_with_are_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    options = RegistrationAgentOptions(hub_kubeconfig_dir=tmp_path, **changes)  # type: ignore[arg-type]

    with pytest.raises(ConfigError, match=message):
        options.validate()


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_command_line_has_the_references_flags(kubeconfig: Path, tmp_path: Path) -> None:
    parsed = command.parser().parse_args(
        [
            "--spoke-cluster-name=c1",
            "--agent-id=a1",
            f"--spoke-kubeconfig={kubeconfig}",
            f"--bootstrap-kubeconfig={kubeconfig}",
            f"--hub-kubeconfig-dir={tmp_path / 'hub'}",
            "--spoke-external-server-urls=https://a,https://b",
            "--cluster-annotations=agent.open-cluster-management.io/a=1,agent.open-cluster-management.io/b=2",
            "--cluster-healthcheck-period=1m30s",
            "--feature-gates=ClusterProperty=true,ClusterClaim=false",
            "--client-cert-expiration-seconds=3600",
        ]
    )

    options = command.options_of(parsed)

    assert options.registration.cluster_name == "c1"
    assert options.registration.external_server_urls == ("https://a", "https://b")
    assert options.registration.cluster_annotations["agent.open-cluster-management.io/b"] == "2"
    assert options.registration.health_check_period == 90
    assert options.registration.cluster_properties
    assert not options.registration.cluster_claims
    assert options.leader_times is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--feature-gates=Nope=true"], "Nope"),
        (["--cluster-annotations=x"], "KEY=VALUE"),
        (["--spoke-external-server-urls=http://x"], "is invalid"),
        (["--client-cert-expiration-seconds=5"], "3600"),
    ],
)
def test_a_wrong_command_line_ends_with_one_line(
    kubeconfig: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [f"--spoke-kubeconfig={kubeconfig}", f"--hub-kubeconfig-dir={tmp_path / 'hub'}", "--cluster-name=c1"]

    assert command.main([*where, *arguments]) == 1

    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert message in error
    assert "\n" not in error


def test_a_problem_is_told_once_until_it_changes_or_is_over(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    reporter = Reporter(logging.getLogger("test"), clock=lambda: now[0])
    caplog.set_level(logging.INFO)

    pauses = [reporter.problem("hub", "down") for _ in range(8)]
    reporter.problem("hub", "still down")
    reporter.solved("hub", "up")
    reporter.solved("hub", "up")
    now[0] = 10
    reporter.problem("hub", "down")
    now[0] = 700
    reporter.problem("hub", "down")

    assert [record.message for record in caplog.records] == ["down", "still down", "up", "down", "down"]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]


def status(code: int, message: str = "no") -> dict[str, object]:
    return {"code": code, "message": message}


@pytest.mark.parametrize(
    ("error", "refused", "words"),
    [
        (Unauthorized(status(401)), True, "refuses the credential of FILE"),
        (CredentialRefused("x"), True, "refuses the credential of FILE"),
        (Forbidden(status(403, "not you")), False, "forbids it to FILE: not you"),
        (ConnectionFailed("refused"), False, "can't be reached (refused)"),
        (KubeError("strange"), False, "strange"),
    ],
)
def test_a_failure_names_the_hub_the_credential_and_the_cause(error: KubeError, refused: bool, words: str) -> None:
    text = explain(error, "https://hub", "FILE", "joining")

    assert is_refused(error) is refused
    assert text.startswith("joining: ")
    assert words in text
    assert "\n" not in text


def test_the_hub_is_asked_for_admission_soon_at_first_and_rarely_later() -> None:
    pauses = [_admission_pause(tries) for tries in range(100)]

    assert pauses[0] == 1
    assert max(pauses[:60]) == 10
    assert set(pauses[60:]) == {60.0}
    assert 500 < sum(pauses[:60]) < 700
