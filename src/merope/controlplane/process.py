"""Embedded control planes as a process: state directories, listeners, TLS, start and stop.

One process serves any number of logical servers. Each has a directory of its own with its database, its keys and the
administrator's kubeconfig, and a TLS port of its own, which is chosen once and then kept: the address of a hub is part
of the identity of every agent that joined it. What servers can share (the catalogue of built-in kinds) they share.

Start: take the port and the state's lock, read the state, start the server, then listen; a client that can connect
gets answers. Stop: listen no more, end watches as if their time were up, let running requests finish, stop the
controllers, and close the store, whose last versions are then on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import ipaddress
import json
import logging
import re
import resource
import signal
import socket
import sqlite3
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from merope.controlplane.backup import complete_restore
from merope.controlplane.persistence import Durability, FormatTooNew, StateInUse, StateLock
from merope.controlplane.pki import Pki, write_private
from merope.controlplane.resource import UserInfo
from merope.controlplane.store import Store

if TYPE_CHECKING:
    from merope.controlplane.server import Server

log = logging.getLogger(__name__)

#: Version of the layout of a server's directory (the database has its own).
STATE_FORMAT: Final = 1
#: Seconds that running requests get to finish when the process stops.
GRACE: Final = 1.0
#: Seconds between looks at the certificates' remaining life.
RENEWAL_INTERVAL: Final = 3600.0
#: Connections that wait to be accepted.
BACKLOG: Final = 1024
#: File descriptors below which a start is worth a warning: each connection needs one.
FEW_DESCRIPTORS: Final = 4096

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class ProcessError(Exception):
    """The process cannot start; the text says why and is meant for the person who started it."""


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """A logical server to run. ``port`` 0: the one it had last time, or any free one on its first start."""

    name: str
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> ServerSpec:
        """From ``NAME`` or ``NAME:PORT``. Raises ProcessError."""
        name, _, port = text.partition(":")
        if not _NAME.fullmatch(name):
            raise ProcessError(f"{name!r} is no server name: lower case letters, digits and '-', at most 63")
        if not port:
            return cls(name)
        if not port.isdigit() or int(port) > 65535:
            raise ProcessError(f"{port!r} is no port")
        return cls(name, int(port))


@dataclass(frozen=True, slots=True)
class Options:
    """What a process runs with.

    ``bind`` is an IP address. ``names`` are further names and addresses that the serving certificates are valid for.
    ``static_tokens`` authenticate bearer tokens.
    """

    state: Path
    servers: Sequence[ServerSpec]
    durability: Durability = Durability.DURABLE
    bind: str = "127.0.0.1"
    static_tokens: Mapping[str, UserInfo] = field(default_factory=dict)
    names: Sequence[str] = ()


class _Connections(Protocol):
    """Makes the protocol of each accepted connection, and ends them all."""

    def __call__(self) -> asyncio.BaseProtocol: ...

    async def shutdown(self, timeout: float | None = None) -> None: ...


class Instance:
    """One logical server with its directory, certificates and listener."""

    def __init__(self, options: Options, spec: ServerSpec) -> None:
        self.name = spec.name
        self.directory = options.state / spec.name
        self.port = 0
        self._spec = spec
        self._options = options
        # Where there is no database, whose lock keeps other processes off.
        self._lock = StateLock(self.directory / "lock")
        self._socket: socket.socket | None = None
        self._listener: asyncio.Server | None = None
        self._connections: _Connections | None = None
        self._context: ssl.SSLContext | None = None
        self._store: Store | None = None
        self._pki: Pki | None = None
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Where the server listens."""
        return f"https://{_in_url(_reachable(self._options.bind))}:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.directory / "admin.kubeconfig"

    @property
    def server(self) -> Server:
        """The logical server, once started."""
        assert self._server is not None
        return self._server

    async def start(self) -> None:
        """Serve. Raises ProcessError, StateInUse, FormatTooNew."""
        from merope.controlplane.http.transport import protocol_factory
        from merope.controlplane.server import Server

        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            # The lock first: what follows changes the directory.
            if self._options.durability is Durability.MEMORY:
                self._lock.acquire()
            self._check_not_emptied()
            store = Store(self.directory / "store.db", durability=self._options.durability)
            await store.open()
            self._store = store
            for problem in store.problems():
                log.warning("%s: %s", self.name, problem)
            listening = self._socket = self._take_port()
            names = [*self._options.names, *([] if _is_wildcard(self._options.bind) else [self._options.bind])]
            try:
                self._pki = Pki(self.directory / "pki", name=self.name, names=names)
                self._context = self._pki.server_context()
            except ValueError as error:
                raise ProcessError(f"{self.name}: {self.directory / 'pki'} cannot be read: {error}") from error
            self._write_kubeconfig()
            server = Server(self.name, store, self._pki, static_tokens=self._options.static_tokens)
            server.url = self.url
            self._server = server
            await server.start()
            self._connections = protocol_factory(server)
            self._listener = await asyncio.get_running_loop().create_server(
                self._connections, sock=listening, ssl=self._context, backlog=BACKLOG, ssl_handshake_timeout=10
            )
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop serving, letting running requests finish for a moment. Idempotent, also after half a start."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        elif self._socket is not None:
            self._socket.close()
        self._socket = None
        if self._store is not None:
            self._store.end_watches(reason="shutdown")
        if self._connections is not None:
            await self._connections.shutdown(GRACE)
            self._connections = None
        if self._server is not None:
            server, self._server = self._server, None
            try:
                async with asyncio.timeout(GRACE):
                    await server.stop()
            except TimeoutError:
                log.warning("%s: not everything stopped within %g s", self.name, GRACE)
        if self._store is not None:
            store, self._store = self._store, None
            await store.close()
        self._lock.release()

    def renew_certificates(self) -> None:
        """Replace certificates that end soon; new connections get the new one."""
        if self._pki is not None and self._context is not None and self._pki.renew():
            self._pki.load_serving(self._context)
            self._write_kubeconfig()
            log.info("%s: certificates renewed", self.name)

    def _check_not_emptied(self) -> None:
        """Refuse to begin anew, with versions that clients have seen before, where there was a state. ProcessError."""
        database = self.directory / "store.db"
        if (self.directory / "server.json").exists() and database.exists() and not database.stat().st_size:
            raise ProcessError(
                f"{database} is empty, although this server has run before: put a backup in its place, or delete the "
                "file to begin with nothing"
            )

    def _take_port(self) -> socket.socket:
        """Bind the port that this server is known by, or choose one for good. Raises ProcessError, FormatTooNew."""
        state = self.directory / "server.json"
        known: dict[str, Any] = {}
        with contextlib.suppress(FileNotFoundError):
            known = _decoded(state)
        if known.get("format", STATE_FORMAT) > STATE_FORMAT:
            raise FormatTooNew(state, known["format"], STATE_FORMAT)
        host, port = self._options.bind, self._spec.port or known.get("port", 0)
        bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((host, port))
        except OSError as error:
            bound.close()
            raise ProcessError(f"{self.name}: cannot listen on {host}:{port}: {error.strerror}") from error
        self.port = bound.getsockname()[1]
        if known.get("port") != self.port:
            write_private(state, json.dumps({"format": STATE_FORMAT, "port": self.port}).encode() + b"\n")
        return bound

    def _write_kubeconfig(self) -> None:
        assert self._pki is not None
        content = self._pki.admin_kubeconfig(self.url, self.name)
        if not self.kubeconfig.exists() or self.kubeconfig.read_bytes() != content:
            write_private(self.kubeconfig, content)


def _decoded(state: Path) -> dict[str, Any]:
    try:
        known = json.loads(state.read_bytes())
    except ValueError as error:
        raise ProcessError(f"{state} cannot be read: {error}") from error
    if not isinstance(known, dict):
        raise ProcessError(f"{state} is no JSON object")
    return known


def _is_wildcard(host: str) -> bool:
    return host in ("0.0.0.0", "::")  # noqa: S104


def _reachable(host: str) -> str:
    """An address under which a server bound to ``host`` is reached from this machine."""
    if _is_wildcard(host):
        return "::1" if ":" in host else "127.0.0.1"
    return host


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class Process:
    """All logical servers of a process; an async context manager, also for use within a test."""

    def __init__(self, options: Options) -> None:
        names = [spec.name for spec in options.servers]
        if not names:
            raise ProcessError("no server is named")
        if len(set(names)) < len(names):
            raise ProcessError("a server is named twice")
        self._options = options
        self.instances: dict[str, Instance] = {spec.name: Instance(options, spec) for spec in options.servers}
        self._renewal: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start all servers, or none. Raises ProcessError, StateInUse, FormatTooNew."""
        self._options.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if complete_restore(self._options.state):
            log.warning("%s: completed a restore that had been interrupted", self._options.state)
        try:
            for instance in self.instances.values():
                await instance.start()
        except BaseException:
            await self.stop()
            raise
        self._renewal = asyncio.create_task(self._renew(), name="certificate renewal")

    async def stop(self) -> None:
        """Stop all servers. Idempotent. Raises what stopping them raised, after all were stopped."""
        if self._renewal is not None:
            self._renewal.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._renewal
            self._renewal = None
        results = await asyncio.gather(
            *(instance.stop() for instance in self.instances.values()), return_exceptions=True
        )
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            raise failures[0]

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEWAL_INTERVAL)
            for instance in self.instances.values():
                try:
                    instance.renew_certificates()
                except OSError as error:
                    log.error("%s: certificates cannot be renewed: %s", instance.name, error)

    async def __aenter__(self) -> Process:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def raise_descriptor_limit() -> int:
    """Allow as many open files as the system lets this process have; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS reports no limit, but refuses more than OPEN_MAX.
    wanted = hard if hard != resource.RLIM_INFINITY else 10_240 if sys.platform == "darwin" else 1_048_576
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft if soft != resource.RLIM_INFINITY else sys.maxsize
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def command(
    state: Path,
    servers: Sequence[str],
    *,
    durability: str = "durable",
    bind: str = "127.0.0.1",
    names: Sequence[str] = (),
    token_auth_file: Path | None = None,
    ready_fd: int | None = None,
    announce: Callable[[str], None] = functools.partial(print, flush=True),
) -> int:
    """``merope controlplane run``: the command from its options as they are typed; returns the exit code.

    ``servers`` are ``NAME`` or ``NAME:PORT``. See ``run`` for the rest.
    """
    from merope.controlplane.authn import parse_token_file

    try:
        try:
            tokens = parse_token_file(token_auth_file.read_text()) if token_auth_file is not None else {}
            options = Options(
                state,
                [ServerSpec.parse(text) for text in servers],
                Durability(durability),
                _address(bind),
                tokens,
                tuple(names),
            )
        except ValueError as error:
            raise ProcessError(str(error)) from error
        return run(options, announce=announce, ready_fd=ready_fd)
    except (ProcessError, StateInUse, FormatTooNew, sqlite3.Error, OSError) as error:
        print(f"merope: {error}", file=sys.stderr)
        return 1


def _address(bind: str) -> str:
    return str(ipaddress.ip_address(bind.strip("[]")))


def run(options: Options, *, announce: Callable[[str], None], ready_fd: int | None = None) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code.

    When all servers answer, ``announce`` gets one line for each (name, URL, kubeconfig); the same lines go to the
    file descriptor ``ready_fd``, which is then closed. Raises ProcessError, StateInUse, FormatTooNew, sqlite3.Error,
    OSError where it cannot start.
    """
    descriptors = raise_descriptor_limit()
    if descriptors < FEW_DESCRIPTORS:
        log.warning("only %d files may be open: connections are limited to about as many", descriptors)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_run(options, announce, ready_fd))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(options: Options, announce: Callable[[str], None], ready_fd: int | None) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    starting = asyncio.create_task(_start(options))
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait((starting,))
            return 0
        process = starting.result()
        try:
            lines = [f"{instance.name} {instance.url} {instance.kubeconfig}" for instance in process.instances.values()]
            # Whoever started this need not go on listening.
            with contextlib.suppress(BrokenPipeError):
                for line in lines:
                    announce(line)
            if ready_fd is not None:
                _notify(ready_fd, lines)
            # What lives now, lives long: it need not be looked at in each collection.
            gc.collect()
            gc.freeze()
            await waiting
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                # A second signal ends the process at once.
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_DFL)
            await process.stop()
    finally:
        waiting.cancel()
    return 0


async def _start(options: Options) -> Process:
    process = Process(options)
    await process.start()
    return process


def _notify(descriptor: int, lines: Sequence[str]) -> None:
    with contextlib.suppress(OSError), open(descriptor, "w") as file:
        file.write("".join(f"{line}\n" for line in lines))
