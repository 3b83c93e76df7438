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
        lock                held by `merope up` and `merope down` while they work

Directories are 0700, files with credentials 0600; every file is replaced at once, never written in place.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import os
import platform
import random
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

FORMAT: Final = 1
DEFAULT_NAME: Final = "default"
MAX_CLUSTERS: Final = 200
#: Where ports are chosen: below those that systems give to outgoing connections, which would take them while a fleet is
#: down, and below Kubernetes' node ports.
_PORTS: Final = range(20_000, 30_000)
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")
_PLATFORMS: Final = {("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "x86_64"), ("darwin", "arm64")}


class FleetError(Exception):
    """Something a person has to mend; the text says what and how."""


@dataclass(slots=True)
class Fleet:
    """What a fleet consists of.

    ``ports`` are those of the API servers (``hub``, and by cluster) and of the hub's webhooks (``webhook``),
    ``identity`` holds the hub's locks, ``agents`` gives each cluster's agent id. None of them ever changes.
    """

    name: str = DEFAULT_NAME
    clusters: int = 2
    identity: str = ""
    ports: dict[str, int] = field(default_factory=dict)
    agents: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def cluster_names(self) -> list[str]:
        return [f"cluster{number}" for number in range(1, self.clusters + 1)]

    @property
    def listeners(self) -> list[str]:
        """What has a port of its own."""
        return ["hub", "webhook", *self.cluster_names]


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

    @classmethod
    def at(cls, root: Path) -> Layout:
        """The layout of the fleet whose directory is ``root``."""
        return cls(root.name, root.parent.parent)

    @property
    def option(self) -> str:
        """What commands about this fleet need after their name: nothing, or a blank and ``--name FLEET``."""
        return "" if self.name == DEFAULT_NAME else f" --name {self.name}"

    def admin_kubeconfig(self, cluster: str) -> Path:
        """The administrator's kubeconfig that the control plane wrote."""
        return self.controlplane / cluster / "admin.kubeconfig"

    def agent(self, cluster: str) -> Path:
        return self.root / "agents" / cluster

    def log(self, process: str) -> Path:
        return self.logs / f"{process}.log"

    def exists(self) -> bool:
        """Whether there is such a fleet. Raises FleetError where that cannot be seen."""
        try:
            self.fleet_file.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise FleetError(f"cannot read {self.fleet_file}: {error.strerror}") from error
        return True

    def prepare(self) -> None:
        """Make the directories. Raises FleetError where that is not allowed."""
        for directory in (self.home, self.home / "fleets", self.root, self.logs, self.hub):
            try:
                make_private_directory(directory)
            except OSError as error:
                raise FleetError(
                    f"cannot make {directory}: {error.strerror}; set MEROPE_HOME to a directory that you may write to"
                ) from error
            if not os.access(directory, os.W_OK | os.X_OK):
                raise FleetError(f"no permission to write to {directory}; set MEROPE_HOME to a directory of your own")

    def load(self) -> Fleet:
        """The fleet as written. Raises FleetError where there is none, or one that this version cannot read."""
        try:
            stated = json.loads(self.fleet_file.read_text())
        except FileNotFoundError:
            raise FleetError(
                f"there is no fleet {self.name!r} in {self.home}; start one with: merope up{self.option}"
            ) from None
        except OSError as error:
            raise FleetError(f"cannot read {self.fleet_file}: {error.strerror}") from error
        except ValueError as error:
            raise FleetError(f"cannot read {self.fleet_file}: {error}") from error
        written = stated.get("format") if isinstance(stated, dict) else None
        if not isinstance(written, int) or written < 1:
            raise FleetError(f"{self.fleet_file} is no fleet's file; move it away and run merope up again")
        if written > FORMAT:
            raise FleetError(
                f"{self.root} was written by a newer merope (format {written}, this one knows {FORMAT}): "
                "use that version, or another fleet with --name"
            )
        for older in range(written, FORMAT):
            _MIGRATIONS[older](stated)
        known = {name: stated[name] for name in Fleet.__dataclass_fields__ if name in stated}
        return Fleet(**{**known, "name": self.name, "format": FORMAT})

    def save(self, fleet: Fleet) -> None:
        """Write the fleet down. Raises FleetError."""
        try:
            write_json(self.fleet_file, asdict(fleet))
        except OSError as error:
            raise FleetError(f"cannot write {self.fleet_file}: {error.strerror}") from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other commands that change the fleet away. Raises FleetError where one is at work."""
        try:
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FleetError(f"cannot write to {self.root}: {error.strerror}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FleetError(
                    f"another merope up or merope down is at work on fleet {self.name!r}; wait for it, or end it"
                ) from None
            yield
        finally:
            os.close(descriptor)

    def purge(self) -> None:
        """Remove everything. Raises FleetError, also where there is something but no fleet: it may be somebody's."""
        try:
            if not self.exists() and (others := sorted({entry.name for entry in self.root.iterdir()} - _MADE_FIRST)):
                raise FleetError(
                    f"{self.root} holds no fleet, but {', '.join(others)}; nothing is removed: "
                    "look at it, and remove it yourself"
                )
            shutil.rmtree(self.root)
        except FileNotFoundError:
            return
        except OSError as error:
            raise FleetError(f"cannot remove {error.filename or self.root}: {error.strerror}") from error


#: What a fleet's directory has before it is a fleet's.
_MADE_FIRST: Final = frozenset({"lock", "logs", "hub"})

#: How to bring what an older version wrote up by one format; changes the mapping in place.
_MIGRATIONS: Final[dict[int, Callable[[dict[str, Any]], None]]] = {}


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


def names(home: Path | None = None) -> list[str]:
    """The fleets in a home directory."""
    try:
        return sorted(entry.parent.name for entry in ((home or default_home()) / "fleets").glob("*/fleet.json"))
    except OSError:
        return []


def ports_in_use(home: Path) -> set[int]:
    """The ports of all fleets in a home directory, also of those that are down."""
    taken: set[int] = set()
    for name in names(home):
        with contextlib.suppress(FleetError):
            taken.update(Layout(name, home).load().ports.values())
    return taken


def choose_port(taken: Collection[int]) -> int:
    """A port of the loopback interface that is not in ``taken`` and that nobody listens on. Raises FleetError."""
    start: int = random.SystemRandom().randrange(_PORTS.start, _PORTS.stop)
    for candidate in itertools.chain(range(start, _PORTS.stop), range(_PORTS.start, start)):
        if candidate not in taken and is_free(candidate):
            return candidate
    raise FleetError(f"no free port between {_PORTS.start} and {_PORTS.stop - 1}")


def is_free(port: int) -> bool:
    """Whether a port of the loopback interface can be listened on."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def make_private_directory(path: Path) -> None:
    """Make a directory, and those above it that are missing, for its owner alone. Raises OSError."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        make_private_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def write_private(path: Path, content: str) -> None:
    """Replace a file at once; only its owner may read it."""
    make_private_directory(path.parent)
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
