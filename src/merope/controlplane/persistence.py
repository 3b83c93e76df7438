"""The store's file: one SQLite database in WAL mode that holds the current version of every object.

Two promises are kept here. A batch is either whole on disk or not at all, and in the durable mode it is on disk (not
just in the operating system's cache) when ``write`` returns. And no version is ever issued twice: the database holds
a ceiling above every version that this process may give out, raised ahead of need; after a crash the next process
begins above the ceiling, after a clean close right above the last version.

A ``Database`` blocks and belongs to one thread at a time; ``Writer`` is the thread that it lives in while the store is
open. The store's event loop hands it one batch after the other and is called back.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import queue
import sqlite3
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

#: Version of the database's layout. Older ones are migrated step by step, newer ones refused.
FORMAT: Final = 1
#: Versions reserved ahead of those issued.
RESERVATION: Final = 10_000

T = TypeVar("T")


class Durability(StrEnum):
    """When a write counts as done.

    ``durable``: when it is on disk. ``relaxed``: when it is in memory; it reaches the file within 50 ms. ``memory``:
    there is no file.
    """

    DURABLE = "durable"
    RELAXED = "relaxed"
    MEMORY = "memory"


class StateInUse(Exception):
    """Another process has the state directory open."""

    def __init__(self, path: Path, owner: str) -> None:
        super().__init__(f"{path.parent} is in use by another process{f' (pid {owner})' if owner else ''}")
        self.path = path
        self.owner = owner


class FormatTooNew(Exception):
    """The state was written by a newer release, whose layout this one does not know."""

    def __init__(self, path: Path, found: int, known: int = FORMAT) -> None:
        super().__init__(
            f"{path} has state format {found}, but this release knows formats up to {known}: use a newer release"
        )
        self.found = found


class Connection(Protocol):
    """What the database needs of a connection; ``sqlite3.Connection`` in autocommit mode has it.

    Failures are ``sqlite3.Error`` with ``sqlite_errorcode`` set.
    """

    @property
    def in_transaction(self) -> bool: ...

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterable[Any]: ...

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> object: ...

    def close(self) -> None: ...


Connect = Callable[[Path], Connection]
Migration = Callable[[Connection], None]
#: From which format, by which step, to the next.
MIGRATIONS: Final[Mapping[int, Migration]] = {}

#: A row to write: version and bytes; None deletes the key.
Row = tuple[int, bytes] | None


def connect(path: Path) -> Connection:
    """A connection of the standard library, usable from any one thread, without implicit transactions."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)


def is_disk_full(error: BaseException) -> bool:
    """Whether a write failed for want of space: SQLite has rolled it back, and it can be tried again later."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A stored object that could not be read, moved out of the way; ``reason`` says what is wrong with it."""

    key: str
    reason: str


@dataclass(slots=True)
class Loaded:
    """What was found on opening: rows (key, version, bytes) in key order, and the version to begin above."""

    rows: list[tuple[str, int, bytes]]
    ceiling: int
    quarantined: list[Quarantined] = field(default_factory=list)


class StateLock:
    """Keeps a second process off a state directory, by an advisory lock that the kernel drops with the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def acquire(self) -> None:
        """Take the lock. Raises StateInUse."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(fd, 32).decode("ascii", "replace").strip()
            os.close(fd)
            raise StateInUse(self._path, owner) from error
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        self._fd = fd

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def sync(descriptor: int) -> None:
    """Make what was written to a file or directory survive a power loss."""
    if sys.platform == "darwin":
        # A plain fsync leaves data in the drive's own cache there; file systems that know no better refuse this one.
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_directory(path: Path) -> None:
    """Make the creation or renaming of files in ``path`` survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


class Database:
    """The file. All methods block."""

    def __init__(
        self,
        path: Path,
        durability: Durability = Durability.DURABLE,
        *,
        connect: Connect = connect,
        format: int = FORMAT,
        migrations: Mapping[int, Migration] = MIGRATIONS,
    ) -> None:
        self.path = path
        self._relaxed = durability is not Durability.DURABLE
        self._connect = connect
        self._format = format
        self._migrations = migrations
        self._lock = StateLock(path.with_name("lock"))
        self._connection: Connection | None = None

    # --- opening --------------------------------------------------------------------------------------------------

    def open(self) -> Loaded:
        """Take the lock, bring the layout up to date, and read everything. Raises StateInUse, FormatTooNew."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock.acquire()
        try:
            return self._open()
        except BaseException:
            self._abandon()
            raise

    def _open(self) -> Loaded:
        damaged: list[Quarantined] = []
        try:
            self._prepare()
            problem = self._damage()
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:
                raise
            problem = str(error)
        if problem:
            damaged.append(self._salvage(problem))
        loaded = self._load()
        loaded.quarantined[:0] = damaged
        # Nothing may be issued before the ceiling above it is on disk.
        self.write({}, loaded.ceiling + RESERVATION)
        return loaded

    def _prepare(self) -> None:
        existed = self.path.exists()
        if not existed:
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            sync_directory(self.path.parent)
        connection = self._connection = self._connect(self.path)
        # One process owns the file: without a shared index in a second file, and without locking at each commit.
        self._run("PRAGMA locking_mode=EXCLUSIVE")
        self._run("PRAGMA page_size=8192")
        self._run("PRAGMA journal_mode=WAL")
        self._run("PRAGMA wal_autocheckpoint=2000")
        self._run("PRAGMA journal_size_limit=67108864")
        self._run("PRAGMA temp_store=MEMORY")
        if sys.platform == "darwin":
            self._run("PRAGMA fullfsync=1")
            self._run("PRAGMA checkpoint_fullfsync=1")
        self._set_synchronous(full=True)
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
        if "meta" not in tables:
            self._create(connection)
        else:
            self._migrate(connection)
        self._set_synchronous(full=not self._relaxed)

    def _create(self, connection: Connection) -> None:
        self._run("BEGIN IMMEDIATE")
        self._run("CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID")
        self._run(
            "CREATE TABLE obj (key TEXT PRIMARY KEY, rv INTEGER NOT NULL, crc INTEGER NOT NULL, value BLOB NOT NULL)"
        )
        self._run("CREATE TABLE quarantine (key TEXT, rv INTEGER, value BLOB, reason TEXT, at REAL)")
        connection.executemany("INSERT INTO meta VALUES (?, ?)", [("format", self._format), ("ceiling", 1)])
        self._run("COMMIT")

    def _migrate(self, connection: Connection) -> None:
        found = self._meta("format")
        if found > self._format:
            raise FormatTooNew(self.path, found, self._format)
        while found < self._format:
            step = self._migrations[found]
            self._run("BEGIN IMMEDIATE")
            try:
                step(connection)
                found += 1
                self._run("UPDATE meta SET value=? WHERE name='format'", (found,))
                self._run("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def _damage(self) -> str:
        """What SQLite finds wrong with the structure of the file; empty: nothing."""
        assert self._connection is not None
        lines = [str(row[0]) for row in self._connection.execute("PRAGMA quick_check(3)")]
        return "" if lines == ["ok"] else "; ".join(lines)

    def _salvage(self, problem: str) -> Quarantined:
        """Move a damaged file aside and begin a new one with all rows that can still be read."""
        rows: dict[str, tuple[str, int, int, bytes]] = {}
        ceiling = 0
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                ceiling = self._meta("ceiling")
            for order in ("", " DESC"):
                with contextlib.suppress(sqlite3.Error):
                    for row in self._connection.execute(f"SELECT key, rv, crc, value FROM obj ORDER BY rowid{order}"):  # noqa: S608
                        rows.setdefault(row[0], tuple(row))
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        for suffix in ("", "-wal", "-shm"):
            part = Path(f"{self.path}{suffix}")
            if part.exists():
                part.rename(f"{aside}{suffix}")
        sync_directory(self.path.parent)
        self._prepare()
        if not ceiling:
            # Step above what is known to have been issued, and above what can have been: nobody has written a
            # thousand times in each second since the epoch.
            known = max((row[1] for row in rows.values()), default=1) + 100 * RESERVATION
            ceiling = max(known, int(time.time() * 1000))
        self._run("BEGIN IMMEDIATE")
        assert self._connection is not None
        self._connection.executemany(
            "INSERT OR REPLACE INTO obj (key, rv, crc, value) VALUES (?, ?, ?, ?)", rows.values()
        )
        self._run("UPDATE meta SET value=? WHERE name='ceiling'", (ceiling,))
        self._run("COMMIT")
        return Quarantined(self.path.name, f"the file was damaged ({problem}) and is kept as {aside.name}")

    def _load(self) -> Loaded:
        assert self._connection is not None
        rows: list[tuple[str, int, bytes]] = []
        bad: list[Quarantined] = []
        highest = 0
        for key, rv, crc, value in self._connection.execute("SELECT key, rv, crc, value FROM obj ORDER BY key"):
            if not isinstance(value, bytes) or zlib.crc32(value) != crc:
                bad.append(Quarantined(str(key), "the checksum does not match the content"))
                continue
            rows.append((key, rv, value))
            highest = max(highest, rv)
        for item in bad:
            self.quarantine(item)
        return Loaded(rows, max(self._meta("ceiling"), highest), bad)

    # --- writing --------------------------------------------------------------------------------------------------

    def write(self, rows: Mapping[str, Row], ceiling: int | None = None) -> None:
        """Commit ``rows``, and raise the ceiling of issued versions; a ceiling is synced in every mode."""
        connection = self._connection
        if connection is None:
            raise sqlite3.ProgrammingError("the database is not open")
        full = self._relaxed and ceiling is not None
        if full:
            self._set_synchronous(full=True)
        connection.execute("BEGIN IMMEDIATE")
        try:
            puts = [(key, row[0], zlib.crc32(row[1]), row[1]) for key, row in rows.items() if row is not None]
            gone = [(key,) for key, row in rows.items() if row is None]
            if puts:
                connection.executemany(
                    "INSERT INTO obj (key, rv, crc, value) VALUES (?, ?, ?, ?) ON CONFLICT (key) "
                    "DO UPDATE SET rv=excluded.rv, crc=excluded.crc, value=excluded.value",
                    puts,
                )
            if gone:
                connection.executemany("DELETE FROM obj WHERE key=?", gone)
            if ceiling is not None:
                connection.execute("UPDATE meta SET value=? WHERE name='ceiling'", (ceiling,))
            connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        finally:
            if full:
                with contextlib.suppress(sqlite3.Error):
                    self._set_synchronous(full=False)

    def quarantine(self, item: Quarantined) -> None:
        """Move a row that cannot be used out of the object table, kept for whoever wants to look at it."""
        self._run("BEGIN IMMEDIATE")
        try:
            self._run(
                "INSERT INTO quarantine SELECT key, rv, value, ?, ? FROM obj WHERE key=?",
                (item.reason, time.time(), item.key),
            )
            self._run("DELETE FROM obj WHERE key=?", (item.key,))
            self._run("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def backup(self, target: Path) -> None:
        """A copy of the whole database as of now, in one file that must not exist yet."""
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self._run("VACUUM INTO ?", (str(target),))

    def close(self, issued: int | None = None) -> None:
        """Close the file and give the lock back. ``issued``: the last version given out, right above which the next
        process may begin.
        """
        try:
            if issued is not None and self._connection is not None:
                self._set_synchronous(full=True)
                self.write({}, issued)
        finally:
            self._abandon()

    def _abandon(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        self._lock.release()

    def _set_synchronous(self, *, full: bool) -> None:
        self._run(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")

    def _meta(self, name: str) -> int:
        assert self._connection is not None
        for row in self._connection.execute("SELECT value FROM meta WHERE name=?", (name,)):
            return int(row[0])
        raise sqlite3.DatabaseError(f"{self.path} has no {name}")

    def _run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        assert self._connection is not None
        for _ in self._connection.execute(sql, parameters):
            pass

    def _roll_back(self) -> None:
        if self._connection is not None and self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")


class Writer:
    """The thread that a database lives in. Jobs run one at a time, in the order of submission."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def submit(self, job: Callable[[], T], done: Callable[[T | None, BaseException | None], None]) -> None:
        """Run ``job`` in the thread, then ``done(result, error)`` in the event loop."""

        def run() -> None:
            result: T | None = None
            failure: BaseException | None = None
            try:
                result = job()
            except BaseException as error:
                failure = error
            # A loop that is closed already has nobody left to tell.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(done, result, failure)

        self._jobs.put(run)

    async def run(self, job: Callable[[], T]) -> T:
        """The result of ``job``, run in the thread. A caller that is cancelled leaves the job running."""
        future: asyncio.Future[T] = self._loop.create_future()

        def done(result: T | None, failure: BaseException | None) -> None:
            if future.done():
                return
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        self.submit(job, done)
        return await future

    def stop(self) -> None:
        """End the thread after the jobs that are queued, and wait for it."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
