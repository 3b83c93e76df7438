"""Where a fleet keeps its state, and what is written there.

    $MEROPE_HOME/fleets/NAME/
        fleet.json          what the fleet consists of, with a format version
        processes.json      what the supervisor runs
        supervisor.json     what the supervisor sees
        kubeconfig          all clusters, as contexts `hub`, `cluster1`, ...
        controlplane/       state of the embedded control planes
        hub/                identities of the hub's components
        agents/CLUSTER/     identities and state of a cluster's agent
        logs/               one file a process

Directories are 0700, files with credentials 0600; every file is replaced at once, never written in place.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import socket
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

FORMAT: Final = 1
DEFAULT_NAME: Final = "default"
MAX_CLUSTERS: Final = 200
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")
_PLATFORMS: Final = {("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "x86_64"), ("darwin", "arm64")}


class FleetError(Exception):
    """Something a person has to mend; the text says what and how."""


@dataclass(slots=True)
class Fleet:
    """What a fleet consists of. ``agents`` gives each cluster's agent id, ``webhook_port`` the hub's own listener."""

    name: str = DEFAULT_NAME
    clusters: int = 2
    webhook_port: int = 0
    identity: str = ""
    agents: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def cluster_names(self) -> list[str]:
        return [f"cluster{number}" for number in range(1, self.clusters + 1)]


class Layout:
    """The paths of one fleet."""

    def __init__(self, name: str = DEFAULT_NAME, home: Path | None = None) -> None:
        if not _NAME.fullmatch(name):
            raise FleetError(f"{name!r} is no name for a fleet: lower case letters, digits and '-', at most 32")
        self.name = name
        self.home = home or default_home()
        self.root = self.home / "fleets" / name
        self.fleet_file = self.root / "fleet.json"
        self.processes_file = self.root / "processes.json"
        self.supervisor_file = self.root / "supervisor.json"
        self.kubeconfig = self.root / "kubeconfig"
        self.controlplane = self.root / "controlplane"
        self.hub = self.root / "hub"
        self.logs = self.root / "logs"

    def admin_kubeconfig(self, cluster: str) -> Path:
        """The administrator's kubeconfig that the control plane wrote."""
        return self.controlplane / cluster / "admin.kubeconfig"

    def agent(self, cluster: str) -> Path:
        return self.root / "agents" / cluster

    def log(self, process: str) -> Path:
        return self.logs / f"{process}.log"

    def exists(self) -> bool:
        return self.fleet_file.exists()

    def prepare(self) -> None:
        """Make the directories. Raises FleetError where that is not allowed."""
        for directory in (self.home, self.home / "fleets", self.root, self.logs, self.hub):
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise FleetError(
                    f"cannot make {directory}: {error.strerror}; set MEROPE_HOME to a directory that you may write to"
                ) from error
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise FleetError(f"no permission to write to {self.root}; set MEROPE_HOME to a directory of your own")

    def load(self) -> Fleet:
        """The fleet as written. Raises FleetError where there is none, or one that this version cannot read."""
        try:
            stated = json.loads(self.fleet_file.read_text())
        except FileNotFoundError:
            raise FleetError(f"there is no fleet {self.name!r} in {self.home}; start one with: merope up") from None
        except (OSError, ValueError) as error:
            raise FleetError(f"cannot read {self.fleet_file}: {error}") from error
        written = stated.get("format") if isinstance(stated, dict) else None
        if not isinstance(written, int):
            raise FleetError(f"{self.fleet_file} is no fleet's file; move it away and run merope up again")
        if written > FORMAT:
            raise FleetError(
                f"{self.root} was written by a newer merope (format {written}, this one knows {FORMAT}): "
                "use that version, or another fleet with --name"
            )
        known = {name: stated[name] for name in Fleet.__dataclass_fields__ if name in stated}
        return Fleet(**{**known, "format": FORMAT})

    def save(self, fleet: Fleet) -> None:
        write_json(self.fleet_file, asdict(fleet))

    def purge(self) -> None:
        """Remove everything. Raises FleetError."""
        try:
            shutil.rmtree(self.root)
        except FileNotFoundError:
            return
        except OSError as error:
            raise FleetError(f"cannot remove {self.root}: {error}") from error


def default_home() -> Path:
    """``$MEROPE_HOME``, or ``~/.merope``."""
    stated = os.environ.get("MEROPE_HOME")
    return Path(stated).expanduser().absolute() if stated else Path.home() / ".merope"


def check_platform() -> None:
    """Raises FleetError where no fleet runs."""
    here = (sys.platform, platform.machine())
    if here not in _PLATFORMS:
        raise FleetError(
            f"merope up does not run on {here[0]}/{here[1]}: Linux (x86-64, arm64) and macOS are supported"
        )


def names() -> list[str]:
    """The fleets in the home directory."""
    root = default_home() / "fleets"
    return sorted(entry.name for entry in root.iterdir() if (entry / "fleet.json").exists()) if root.is_dir() else []


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def write_private(path: Path, content: str) -> None:
    """Replace a file at once; only its owner may read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_json(path: Path, value: Any) -> None:
    write_private(path, json.dumps(value, indent=1) + "\n")
