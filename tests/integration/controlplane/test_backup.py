"""``merope controlplane backup`` beside a running process, ``restore`` after it, and ``export`` to another cluster."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.cluster import Cluster
from fixtures.conditions import wait_until
from fixtures.embedded import MEROPE, EmbeddedCluster, run_merope

MAPS = "/api/v1/namespaces/default/configmaps"
ClusterFactory = Callable[[str], Cluster]


@contextlib.contextmanager
def running(durability: str = "durable") -> Iterator[EmbeddedCluster]:
    cluster = EmbeddedCluster("hub", durability=durability)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.discard()


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def backup(cluster: Cluster, archive: Path) -> None:
    done = run_merope("controlplane", "backup", f"--state={cluster.directory / 'state'}", f"--output={archive}")
    assert done.returncode == 0, done.stderr
    assert "private keys" in done.stdout


def version(obj: dict[str, Any]) -> int:
    return int(obj["metadata"]["resourceVersion"])


def test_a_restored_server_goes_on_with_the_same_keys_above_every_version(tmp_path: Path) -> None:
    with running() as cluster:
        state = cluster.directory / "state"
        cluster.api.create(MAPS, config_map("kept"))
        token = cluster.service_account_token("default", "default")
        backup(cluster, tmp_path / "backup.tar.gz")
        lost = cluster.api.create(MAPS, config_map("lost"))

        refused = run_merope("controlplane", "restore", f"--state={state}", str(tmp_path / "backup.tar.gz"), "--force")
        assert refused.returncode == 1
        assert f"{state / 'hub'} is in use by another process (pid {cluster.pid}): stop it" in refused.stderr
        cluster.stop()
        refused = run_merope("controlplane", "restore", f"--state={state}", str(tmp_path / "backup.tar.gz"))
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"error: {state / 'hub'} holds the state of a server already")
        assert refused.stderr.count("\n") == 1

        done = run_merope("controlplane", "restore", f"--state={state}", str(tmp_path / "backup.tar.gz"), "--force")
        assert done.returncode == 0, done.stderr
        cluster.start()

        found = cluster.api.get(MAPS)
        assert {item["metadata"]["name"] for item in found["items"]} == {"kept", "kube-root-ca.crt"}
        assert int(found["metadata"]["resourceVersion"]) > version(lost)
        assert version(cluster.api.create(MAPS, config_map("new"))) > version(lost)
        # Whoever had a credential has it still.
        assert cluster.as_token(token).request("GET", "/version").status == 200


def test_a_watcher_from_before_is_told_that_its_version_is_gone(tmp_path: Path) -> None:
    with running() as cluster:
        backup(cluster, tmp_path / "backup.tar.gz")
        seen = version(cluster.api.create(MAPS, config_map("lost")))
        cluster.stop()
        state = cluster.directory / "state"
        run_merope("controlplane", "restore", f"--state={state}", str(tmp_path / "backup.tar.gz"), "--force")
        cluster.start()

        told = cluster.kubectl("get", "--raw", f"{MAPS}?watch=1&timeoutSeconds=5&resourceVersion={seen}", check=False)
        assert json.loads(told.splitlines()[0])["object"]["code"] == 410


def test_a_backup_taken_under_load_holds_every_write_that_was_answered_before(tmp_path: Path) -> None:
    with running() as cluster:
        answered: list[int] = []
        stop = threading.Event()

        def more_than(least: int) -> Callable[[], bool]:
            return lambda: len(answered) > least

        def write() -> None:
            api = cluster.as_token(cluster.admin_token)
            for number in range(100_000):
                if stop.is_set():
                    return
                api.create(MAPS, config_map(f"m{number}", pad="x" * 20_000))
                answered.append(number)

        writer = threading.Thread(target=write)
        writer.start()
        before: list[int] = []
        try:
            for number in range(4):
                wait_until(more_than(60 * (number + 1)), "writes")
                before.append(len(answered))
                backup(cluster, tmp_path / f"{number}.tar.gz")
        finally:
            stop.set()
            writer.join()
        for number, least in enumerate(before):
            state = tmp_path / f"state{number}"
            done = run_merope("controlplane", "restore", f"--state={state}", str(tmp_path / f"{number}.tar.gz"))
            assert done.returncode == 0, done.stderr
            held = _config_maps(state / "hub" / "store.db")
            # In the order of writing, without holes: one moment of the server's life.
            assert held == set(range(len(held)))
            assert len(held) >= least


def _config_maps(database: Path) -> set[int]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        keys = [row[0] for row in connection.execute("SELECT key FROM obj WHERE key LIKE '/configmaps/default/m%'")]
    return {int(key.rpartition("/m")[2]) for key in keys}


def test_killing_the_restore_leaves_a_server_that_starts_with_all_or_nothing(tmp_path: Path) -> None:
    with running() as cluster:
        state = cluster.directory / "state"
        cluster.api.create(MAPS, config_map("kept", pad="x" * 500_000))
        backup(cluster, tmp_path / "backup.tar.gz")
        cluster.api.create(MAPS, config_map("later"))
        cluster.stop()
        command = [*MEROPE, "controlplane", "restore", f"--state={state}", str(tmp_path / "backup.tar.gz"), "--force"]
        for _ in range(3):
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            # As soon as it has begun to unpack.
            while child.poll() is None and not any(
                name.startswith(".rest") and name != ".restore.lock" for name in os.listdir(state)
            ):
                time.sleep(0)
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGKILL)
            child.wait()

            cluster.start()
            names = {item["metadata"]["name"] for item in cluster.api.get(MAPS)["items"]}
            assert names in ({"kept", "later", "kube-root-ca.crt"}, {"kept", "kube-root-ca.crt"})
            cluster.stop()


def test_a_server_completes_an_interrupted_restore_before_it_starts(tmp_path: Path) -> None:
    with running() as cluster:
        state = cluster.directory / "state"
        cluster.api.create(MAPS, config_map("kept"))
        backup(cluster, tmp_path / "backup.tar.gz")
        cluster.api.create(MAPS, config_map("later"))
        cluster.stop()
        run_merope("controlplane", "restore", f"--state={tmp_path / 'elsewhere'}", str(tmp_path / "backup.tar.gz"))
        # As the restore leaves it when it dies right after its decision.
        (state / ".restore").mkdir()
        (tmp_path / "elsewhere" / "hub").rename(state / ".restore" / "hub")

        cluster.start()

        assert {item["metadata"]["name"] for item in cluster.api.get(MAPS)["items"]} == {"kept", "kube-root-ca.crt"}
        assert not (state / ".restore").exists()
        assert "completed a restore that had been interrupted" in cluster.logs()


CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.export.merope.dev"},
    "spec": {
        "group": "export.merope.dev",
        "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


def test_what_is_exported_applies_to_another_cluster_and_is_exported_from_there_again(
    cluster: Cluster, more_clusters: ClusterFactory
) -> None:
    namespace = cluster.create_namespace("exported")
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(CRD))
    cluster.kubectl("wait", "crd/things.export.merope.dev", "--for=condition=Established", "--timeout=30s")
    thing = {
        "apiVersion": "export.merope.dev/v1",
        "kind": "Thing",
        "metadata": {"name": "one", "namespace": namespace, "finalizers": ["merope.dev/test"]},
        "spec": {"number": "1e3", "yes": "y", "lines": "a\n b\n", "octal": "0o14", "empty": "", "time": "2020-01-01"},
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(thing))
    for arguments in (
        ("create", "deployment", "web", "--image=web"),
        ("create", "service", "clusterip", "web", "--tcp=80:80"),
        ("create", "service", "clusterip", "headless", "--clusterip=None", "--tcp=80:80"),
        ("create", "serviceaccount", "bob"),
        ("create", "secret", "generic", "s", "--from-literal=p=q"),
        ("create", "job", "once", "--image=job"),
        ("create", "role", "reader", "--verb=get", "--resource=pods"),
    ):
        cluster.kubectl("-n", namespace, *arguments)
    other = more_clusters("other")

    def export(source: Cluster, *arguments: str) -> list[dict[str, Any]]:
        done = run_merope("controlplane", "export", f"--kubeconfig={source.admin_kubeconfig}", *arguments)
        assert done.returncode == 0, done.stderr
        streams.append(done.stdout)
        return list(yaml.safe_load_all(done.stdout))

    streams: list[str] = []
    exported = export(cluster)
    kinds = [obj["kind"] for obj in exported]
    assert kinds[:2] == ["CustomResourceDefinition", "Namespace"]
    assert kinds.count("ServiceAccount") == 1
    assert "Event" not in kinds
    assert [obj for obj in exported if obj["metadata"]["name"] in ("kube-root-ca.crt", "cluster-admin")] == []
    # kubectl looks all kinds up before it applies the first: custom resources come with the second run.
    other.kubectl("apply", "--server-side", "-f", "-", stdin=streams[0], check=False)
    other.kubectl("wait", "crd/things.export.merope.dev", "--for=condition=Established", "--timeout=30s")
    other.kubectl("apply", "--server-side", "-f", "-", stdin=streams[0])

    again = export(other)
    del thing["metadata"]["finalizers"]  # type: ignore[attr-defined]
    assert thing in exported
    assert "# not exported: finalizers merope.dev/test\n" in streams[0]
    assert again == exported
    only = export(cluster, "--namespace", namespace)
    assert [obj for obj in exported if obj["metadata"].get("namespace", obj["metadata"]["name"]) == namespace] == only
    cluster.kubectl("-n", namespace, "patch", "thing/one", "--type=merge", '-p={"metadata":{"finalizers":null}}')


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["backup", "--state=absent", "--output=out"], "error: absent holds no server's state: give"),
        (["restore", "--state=state", "absent"], "error: absent does not exist: give"),
        (["export", "--kubeconfig=absent"], "absent"),
    ],
)
def test_failures_are_one_line_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], text: str
) -> None:
    monkeypatch.chdir(tmp_path)

    done = run_merope("controlplane", *arguments)

    assert done.returncode == 1
    assert text in done.stderr
    assert done.stderr.count("\n") == 1
