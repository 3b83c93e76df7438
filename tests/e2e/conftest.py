"""Whole fleets, brought up by the command line in state directories of their own."""

import base64
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures import kubectl
from fixtures.api import Api, Manifest
from fixtures.conditions import wait_until

ROOT = Path(__file__).parents[2]
CLUSTERS = "/apis/cluster.open-cluster-management.io/v1/managedclusters"
WORKS = "/apis/work.open-cluster-management.io/v1/namespaces/{}/manifestworks"


class Fleet:
    """One fleet: the command line for it, kubectl in its contexts, and its processes to look at and to kill."""

    def __init__(
        self, home: Path, name: str = "default", command: tuple[str, ...] = (sys.executable, "-m", "merope")
    ) -> None:
        self.home = home
        self.name = name
        self.root = home / "fleets" / name
        self.command = command
        self._apis: dict[Path, Api] = {}

    def merope(
        self, verb: str, *arguments: str, check: bool = True, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a verb of the command line; with ``check`` a failure raises with what it and the fleet said."""
        process = subprocess.run(
            [*self.command, verb, *arguments, *(["--name", self.name] if self.name != "default" else [])],
            capture_output=True,
            text=True,
            timeout=180,
            env={**os.environ, "MEROPE_HOME": str(self.home), **(environment or {})},
        )
        if check and process.returncode != 0:
            raise AssertionError(f"merope {verb}: {process.returncode}\n{process.stdout}{process.stderr}{self.logs()}")
        return process

    def up(self, *arguments: str) -> None:
        self.merope("up", *arguments)

    def down(self, *arguments: str) -> None:
        self.merope("down", *arguments)

    def kubectl(self, context: str, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints, in one of the fleet's contexts."""
        return self.run_kubectl(context, *arguments, stdin=stdin).stdout

    def run_kubectl(
        self, context: str, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        options = ["--context", context, f"--cache-dir={self.home / 'kubectl-cache'}"]
        return kubectl.run([*options, *arguments], self.root / "kubeconfig", stdin=stdin, check=check)

    def api(self, cluster: str = "hub") -> Api:
        """The administrator's API."""
        return self.api_of(self.root / "controlplane" / cluster / "admin.kubeconfig")

    def api_of(self, kubeconfig: Path) -> Api:
        if kubeconfig not in self._apis:
            self._apis[kubeconfig] = api_of(kubeconfig)
        return self._apis[kubeconfig]

    def hub_identity(self, cluster: str) -> Path:
        """The kubeconfig that the agent of a cluster got from the hub."""
        return self.root / "agents" / cluster / "hub-kubeconfig" / "kubeconfig"

    def cluster(self, name: str) -> Manifest:
        return self.api().get(f"{CLUSTERS}/{name}")

    def is_available(self, name: str) -> bool:
        status: Manifest = self.cluster(name).get("status") or {}
        return any(
            each["type"] == "ManagedClusterConditionAvailable" and each["status"] == "True"
            for each in status.get("conditions") or ()
        )

    def state(self) -> Manifest:
        """What the supervisor says."""
        try:
            return dict(json.loads((self.root / "supervisor.json").read_text()))
        except FileNotFoundError:
            return {"pid": 0, "processes": []}

    def process(self, name: str) -> Manifest:
        """State of one process; ``supervisor`` is one, too."""
        state = self.state()
        if name == "supervisor":
            return {"name": name, "pid": state["pid"], "state": "ready"}
        return next((each for each in state["processes"] if each["name"] == name), {"name": name, "pid": 0})

    def pids(self) -> list[int]:
        state = self.state()
        return [pid for pid in (state["pid"], *(each["pid"] for each in state["processes"])) if pid]

    def kill(self, name: str) -> int:
        """kill -9, of a process that runs; the pid that it was."""
        pid = int(wait_until(lambda: self.process(name)["pid"], f"{name} runs", timeout=10))
        assert pid > 1
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_everything(self) -> None:
        """As a power cut would: the guard first, so that nobody takes over, and until nothing new has come."""
        for pid in (self.process("guard")["pid"], self.process("supervisor")["pid"], *self.pids()):
            if pid and is_running(pid):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(is_running(pid) for pid in self.pids()), "everything is gone", timeout=5)

    def logs(self) -> str:
        return "".join(
            f"\n--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:])
            for path in sorted((self.root / "logs").glob("*.log"))
        )


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def api_of(kubeconfig: Path) -> Api:
    """The fixtures' own client with the credential of a kubeconfig's current context."""
    config = yaml.safe_load(kubeconfig.read_text())
    context = _entry(config, "contexts", config["current-context"], "context")
    cluster = _entry(config, "clusters", context["cluster"], "cluster")
    user = _entry(config, "users", context["user"], "user")
    trusted = _content(cluster, "certificate-authority", kubeconfig.parent)
    assert trusted is not None
    tls = ssl.create_default_context(cadata=trusted)
    certificate = _content(user, "client-certificate", kubeconfig.parent)
    key = _content(user, "client-key", kubeconfig.parent)
    if certificate and key:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(certificate + key)
            file.flush()
            tls.load_cert_chain(file.name)
    token = user.get("token") or (Path(user["tokenFile"]).read_text() if "tokenFile" in user else None)
    return Api(cluster["server"], tls, token)


def _entry(config: Manifest, kind: str, name: str, inner: str) -> dict[str, Any]:
    return next(dict(each[inner]) for each in config[kind] if each["name"] == name)


def _content(where: Manifest, field: str, directory: Path) -> str | None:
    if f"{field}-data" in where:
        return base64.b64decode(where[f"{field}-data"]).decode()
    return (directory / where[field]).read_text() if field in where else None


FleetFactory = Callable[..., Fleet]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def fleets(home: Path) -> Iterator[FleetFactory]:
    """Makes fleets, which are not up yet; whatever runs of them at the end is ended, and their directories removed."""
    made: list[Fleet] = []

    def make(name: str = "default", directory: Path = home, **options: Any) -> Fleet:
        fleet = Fleet(directory, name, **options)
        made.append(fleet)
        return fleet

    try:
        yield make
    finally:
        for fleet in made:
            fleet.merope("down", "--purge", check=False)


@pytest.fixture(scope="module")
def fleet(fleets: FleetFactory) -> Fleet:
    """A hub and two managed clusters, shared by the tests of a module."""
    made = fleets()
    made.up()
    return made


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Put the ends of a fleet's logs into the report of a failed test."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Fleet):
                report.sections.append((f"logs of fleet {value.name}", value.logs()))
