"""Backup and restore of the state of embedded control planes.

A backup is one gzipped tar archive: a manifest, and for each server its database (one file, checked row by row), its
keys and certificates, and the port that it is known by. Whoever has the archive is the administrator of those servers:
its mode is 0600, and it belongs where keys belong.

**Backup works beside a running server** and takes no lock. The server keeps its database open in SQLite's exclusive
locking mode, so that no second connection gets in; what is read are the bytes of the file and of its write-ahead log.
That is consistent as long as the log is not begun anew meanwhile: pages of the file change only by what the log
already holds, so the log, read after the file, mends whatever the file shows half. The log's header changes when it
is begun anew; then both are read again. The copy is opened by a connection of its own, which replays the log.

**Restore is all or nothing**, over all servers of the archive. Everything is unpacked, verified and synced in a
directory beside the servers'; renaming that to ``.restore`` decides. From then on the restore takes place, also when
the process dies: whoever comes next (a restore, or a server that starts) moves the servers' directories to where they
belong before it does anything else. Until then nothing has happened.

**Versions go on above every one ever issued**, also above those issued after the backup, so that a client which has
seen the lost future is told that its version is gone, and lists again, instead of mixing two histories. Where the state
that is replaced can be read it says how far versions went; where it is lost, they begin a billion higher, plus ten
thousand for each second since the backup, more than a server can write.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import re
import secrets
import shutil
import sqlite3
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Final

from merope.controlplane.persistence import FORMAT as DATABASE_FORMAT
from merope.controlplane.persistence import StateInUse, StateLock, sync, sync_directory

#: Version of the archive's layout. Newer ones are refused.
FORMAT: Final = 1
#: How far versions jump at a restore, and how much further for each second since the backup.
JUMP: Final = 1_000_000_000
JUMP_PER_SECOND: Final = 10_000
#: Versions are signed 64 bit numbers; what comes close to that was not counted, but made up.
HIGHEST: Final = 1 << 62
#: How often a copy is begun again because the server wrote a whole log meanwhile.
ATTEMPTS: Final = 50

DATABASE: Final = "store.db"
MANIFEST: Final = "manifest.json"
#: A restore that is decided, and is moved into place.
DECIDED: Final = ".restore"
LOCK: Final = ".restore.lock"
_UNPACKING: Final = ".restoring-"
_REPLACED: Final = ".replaced-"

_LARGEST_MANIFEST: Final = 16 << 20
_WAL_HEADER: Final = 32
_BLOCK: Final = 1 << 20
_SERVER: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_FILE: Final = re.compile(r"store\.db|server\.json|pki/[A-Za-z0-9_][A-Za-z0-9_.-]*")


class BackupError(Exception):
    """A backup or restore that cannot be done; the text names the file and says what to do."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A server in an archive.

    ``version`` is what its versions had been reserved up to, ``objects`` how many it holds, ``unreadable`` those that
    it holds, but that fail their checksum (the server sets them aside when it starts).
    """

    name: str
    version: int
    objects: int
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Restored:
    """A server that was restored: its versions begin above ``version``."""

    name: str
    version: int
    objects: int


# --- backup -----------------------------------------------------------------------------------------------------------


def servers_of(state: Path) -> list[str]:
    """The servers that have a database below ``state``, sorted."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(
            path.name for path in state.iterdir() if _SERVER.fullmatch(path.name) and (path / DATABASE).is_file()
        )
    return []


def back_up(
    state: Path, output: Path, servers: Sequence[str] = (), *, now: Callable[[], float] = time.time
) -> list[Saved]:
    """Write an archive of ``servers`` (default: all below ``state``) to ``output``, in one step. Raises BackupError.

    The servers may be running. An existing ``output`` is replaced once the new archive is whole.
    """
    if (state / DECIDED).exists():
        raise BackupError(f"{state} has a restore that was interrupted: run it again, or start the servers, first")
    names = list(dict.fromkeys(servers)) or servers_of(state)
    if not names:
        raise BackupError(f"{state} holds no server's state: give the directory that the servers run with as --state")
    for name in names:
        if not _SERVER.fullmatch(name) or not (state / name / DATABASE).is_file():
            known = ", ".join(servers_of(state)) or "none"
            raise BackupError(
                f"{state / name / DATABASE} does not exist, so there is nothing to back up (servers with a database "
                f"there: {known}; those that run with --durability memory have none)"
            )
    if output.is_dir() or not output.parent.is_dir():
        problem = "is a directory" if output.is_dir() else "is in a directory that does not exist"
        raise BackupError(f"{output} {problem}: give the path of a file in an existing directory as --output")
    # Beside the archive: the same file system has room for both or for neither. Only its owner may enter.
    try:
        with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as name:
            working = Path(name)
            created = now()
            saved = [_collect(state / server, working / "content" / server) for server in names]
            archive = working / "archive"
            _pack(working / "content", archive, created, saved)
            archive.rename(output)
        sync_directory(output.parent)
    except OSError as error:
        raise BackupError(
            f"{error.filename or output}: {error.strerror or error}; mend that and take the backup again"
        ) from error
    return saved


def _collect(directory: Path, target: Path) -> Saved:
    """Copy what belongs to one server into ``target``."""
    target.mkdir(mode=0o700, parents=True)
    for name, content in _small_files(directory).items():
        path = target / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _write(path, content)
    return copy_database(directory / DATABASE, target / DATABASE)


def _small_files(directory: Path) -> dict[str, bytes]:
    """Keys, certificates and the port; read until two passes see the same, as a key and its certificate are two files
    that may just be renewed.
    """

    def read() -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for path in (directory / "server.json", *sorted((directory / "pki").glob("*"))):
            name = path.relative_to(directory).as_posix()
            # What is being written has a name that begins with a dot, and is gone in a moment.
            if _FILE.fullmatch(name):
                with contextlib.suppress(FileNotFoundError):
                    found[name] = path.read_bytes()
        return found

    before = read()
    for _ in range(ATTEMPTS):
        after = read()
        if after == before:
            return after
        before = after
    raise BackupError(f"the files in {directory / 'pki'} change all the time: find out who writes there")


def copy_database(source: Path, target: Path) -> Saved:
    """A compact copy of a database, which may be in use by another process, in the new file ``target``.

    Not for a database that this process has open: closing a file drops SQLite's locks on it for the whole process.
    Raises BackupError where it is damaged.
    """
    with tempfile.TemporaryDirectory(prefix=".copy.", dir=target.parent) as name:
        copy = Path(name) / DATABASE
        _copy_files(source, copy)
        connection = sqlite3.connect(copy, isolation_level=None)
        try:
            # Nobody else has the copy: its index need not be in a file.
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            saved = _inspect(connection, source.parent.name, source)
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            connection.execute("VACUUM INTO ?", (str(target),))
        except sqlite3.Error as error:
            raise BackupError(
                f"{source} cannot be copied: {error}; if it is damaged, start its server, which saves what it can"
            ) from error
        finally:
            connection.close()
    return saved


def _copy_files(source: Path, target: Path) -> None:
    """The bytes of a database and of its log as they belong together."""
    log = Path(f"{source}-wal")
    for _ in range(ATTEMPTS):
        before = _generation(source, log)
        # In this order: what the file lacks, or shows half, is in the log that is read later.
        _copy_file(source, target)
        copied = Path(f"{target}-wal")
        copied.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            _copy_file(log, copied)
        if _generation(source, log) == before:
            return
    raise BackupError(
        f"{source} is written faster than it can be copied: try again when there is less to do, or give an --output on "
        "a faster disk"
    )


def _generation(source: Path, log: Path) -> tuple[object, ...]:
    """What stays the same as long as the log is not begun anew."""
    header = b""
    with contextlib.suppress(FileNotFoundError), log.open("rb") as file:
        header = file.read(_WAL_HEADER)
    status = source.stat()
    # Without a log the file itself must stay as it is.
    return (header, status.st_ino) if header else (status.st_ino, status.st_size, status.st_mtime_ns)


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as reading, _create(target, exclusive=False) as writing:
        shutil.copyfileobj(reading, writing, _BLOCK)


def _inspect(connection: sqlite3.Connection, name: str, path: Path) -> Saved:
    """Look at each row of a database. Raises BackupError, sqlite3.Error."""
    problems = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    if problems != ["ok"]:
        raise sqlite3.DatabaseError("; ".join(problems))
    meta = dict(connection.execute("SELECT name, value FROM meta"))
    if meta.get("format", 0) > DATABASE_FORMAT:
        raise BackupError(
            f"{path} has state format {meta['format']}, but this release knows formats up to {DATABASE_FORMAT}: use a "
            "newer release"
        )
    if "ceiling" not in meta:
        raise sqlite3.DatabaseError("it has no ceiling of versions")
    version, objects, unreadable = int(meta["ceiling"]), 0, []
    for key, rv, crc, value in connection.execute("SELECT key, rv, crc, value FROM obj"):
        objects += 1
        version = max(version, rv)
        if not isinstance(value, bytes) or zlib.crc32(value) != crc:
            unreadable.append(str(key))
    if not 0 < version < HIGHEST:
        raise sqlite3.DatabaseError(f"{version} is no version")
    return Saved(name, version, objects, tuple(unreadable))


def _pack(content: Path, archive: Path, created: float, saved: Sequence[Saved]) -> None:
    """An archive of all files below ``content``, synced."""
    files = sorted(path for path in content.rglob("*") if path.is_file())
    manifest = {
        "format": FORMAT,
        "created": created,
        "servers": [{"name": server.name, "version": server.version, "objects": server.objects} for server in saved],
        "files": {
            path.relative_to(content).as_posix(): {"size": path.stat().st_size, "sha256": _digest(path)}
            for path in files
        },
    }
    body = json.dumps(manifest, indent=1).encode()
    with _create(archive) as file:
        # Level 4 takes a third of the default's time for a tenth more bytes.
        with (
            gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=4, mtime=created) as compressed,
            tarfile.open(fileobj=compressed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        ):
            tar.addfile(_member(MANIFEST, len(body), created), BytesIO(body))
            for path in files:
                with path.open("rb") as reading:
                    name = path.relative_to(content).as_posix()
                    tar.addfile(_member(name, path.stat().st_size, created), reading)
        file.flush()
        sync(file.fileno())


def _member(name: str, size: int, created: float) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(created)
    return member


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- restore ----------------------------------------------------------------------------------------------------------


def restore(state: Path, archive: Path, *, force: bool = False, now: Callable[[], float] = time.time) -> list[Restored]:
    """Put the servers of ``archive`` below ``state``, all or none. Raises BackupError.

    ``force`` replaces what those servers have there; other servers there are left alone. No server of the archive may
    be running. A restore that was interrupted after it was decided is completed first.
    """
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(state / LOCK):
            _sweep(state)
            _move(state)
            unpacked = Path(tempfile.mkdtemp(prefix=_UNPACKING, dir=state))
            try:
                manifest = _unpack(archive, unpacked)
                return _decide(state, unpacked, archive, manifest, force=force, now=now())
            finally:
                shutil.rmtree(unpacked, ignore_errors=True)
    except StateInUse as error:
        raise BackupError(f"{error}: stop it, then restore again") from error
    except OSError as error:
        outcome = (
            "the restore is not complete: restore again, or start the servers, once that is mended"
            if (state / DECIDED).exists()
            else "nothing was restored: mend that and restore again"
        )
        raise BackupError(f"{error.filename or state}: {error.strerror or error}; {outcome}") from error


def complete_restore(state: Path) -> bool:
    """Move a restore that was decided, but interrupted, into place; whether there was one.

    For servers to call before they open anything. Raises StateInUse where the restore is still at work.
    """
    if not (state / DECIDED).exists():
        return False
    with _locked(state / LOCK):
        _sweep(state)
        return _move(state)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = StateLock(path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _decide(
    state: Path, unpacked: Path, archive: Path, manifest: Mapping[str, Any], *, force: bool, now: float
) -> list[Restored]:
    """Set the versions, take the servers' locks, and let the restore take place."""
    names = [server["name"] for server in manifest["servers"]]
    with contextlib.ExitStack() as held:
        for name in names:
            directory = state / name
            made = not directory.exists()
            directory.mkdir(mode=0o700, exist_ok=True)
            # Where there was nothing, the lock keeps a server off that would start there meanwhile.
            held.enter_context(_locked(directory / "lock"))
            if made:
                held.callback(_remove_unused, directory)
            if not force and any((directory / file).exists() for file in (DATABASE, "server.json", "pki")):
                raise BackupError(
                    f"{directory} holds the state of a server already: restore to another --state, or replace it with "
                    "--force (what it holds is lost then: back it up first)"
                )
        elapsed = max(0, int(now - manifest["created"]))
        jump = JUMP + JUMP_PER_SECOND * elapsed
        restored = [
            _raise_versions(unpacked / name / DATABASE, archive, _reached(state / name / DATABASE, unpacked, now), jump)
            for name in names
        ]
        _sync_tree(unpacked)
        unpacked.rename(state / DECIDED)
        sync_directory(state)
        _move(state)
    return restored


def _remove_unused(directory: Path) -> None:
    """Take a directory that was made for its lock away again, if nothing came into it."""
    if not (directory / DATABASE).exists():
        (directory / "lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            directory.rmdir()


def _reached(database: Path, working: Path, now: float) -> int:
    """The version that the state to be replaced had reached; 0: there is none."""
    if not database.exists():
        return 0
    copy = working / ".reached.db"
    try:
        return copy_database(database, copy).version
    except BackupError:
        # A damaged state is what backups are for. Its server, had it saved what it could, would have begun here.
        return int(now * 1000)
    finally:
        copy.unlink(missing_ok=True)


def _raise_versions(database: Path, archive: Path, reached: int, jump: int) -> Restored:
    """Let the versions of an unpacked database begin above all that were ever issued."""
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=DELETE").fetchone()
        connection.execute("PRAGMA synchronous=FULL")
        found = _inspect(connection, database.parent.name, archive)
        version = max(found.version, reached) + jump
        if version >= HIGHEST:
            raise BackupError(f"{archive}: the versions of {found.name} cannot be raised any further: {version}")
        connection.execute("UPDATE meta SET value=? WHERE name='ceiling'", (version,))
    except sqlite3.Error as error:
        raise BackupError(
            f"{archive}: the database of {database.parent.name} cannot be used: {error}; take another backup"
        ) from error
    finally:
        connection.close()
    return Restored(found.name, version, found.objects)


def _sweep(state: Path) -> None:
    """Remove what interrupted restores left: unpacked before they were decided, and replaced after."""
    for path in state.iterdir():
        if path.name.startswith((_UNPACKING, _REPLACED)):
            shutil.rmtree(path)


def _move(state: Path) -> bool:
    """Move the servers of a decided restore to where they belong. Can be repeated from any point on."""
    decided = state / DECIDED
    if not decided.exists():
        return False
    replaced = state / f"{_REPLACED}{secrets.token_hex(4)}"
    replaced.mkdir(mode=0o700)
    for source in sorted(decided.iterdir()):
        target = state / source.name
        if target.exists():
            target.rename(replaced / source.name)
        source.rename(target)
    # The moves must be on disk before the sign that there is something to move is taken away.
    sync_directory(decided)
    sync_directory(state)
    decided.rmdir()
    sync_directory(state)
    shutil.rmtree(replaced)
    return True


# --- reading archives -------------------------------------------------------------------------------------------------


def _unpack(archive: Path, target: Path) -> dict[str, Any]:
    """Write the archive's files below ``target``, and return its manifest. Raises BackupError.

    Files are written one by one under the names that the manifest may list, so whatever else an archive holds (paths
    that lead out, links, devices) does nothing but end the restore.
    """
    try:
        # Not tarfile's own decompression, which looks at no checksum of what it reads.
        with gzip.open(archive) as file, tarfile.open(fileobj=file, mode="r|") as tar:
            members = iter(tar)
            first = next(members, None)
            if first is None or first.name != MANIFEST or not first.isfile() or first.size > _LARGEST_MANIFEST:
                raise BackupError(
                    f"{archive} is no backup: it does not begin with {MANIFEST}; give a file that backup wrote"
                )
            manifest = _parse(archive, _content(tar, first).read())
            left: dict[str, Any] = dict(manifest["files"])
            for member in members:
                expected = left.pop(member.name, None)
                if expected is None or not member.isreg() or member.size != expected["size"]:
                    raise _corrupt(archive, f"{member.name!r} is not what its manifest says")
                path = target / member.name
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                if _extract(_content(tar, member), path) != expected["sha256"]:
                    raise _corrupt(archive, f"the checksum of {member.name!r} does not match")
            if left:
                raise _corrupt(archive, f"{min(left)!r} is missing")
            # The checksum of the stream, which the manifest relies on, is at its end.
            while file.read(_BLOCK):
                pass
            return manifest
    except FileNotFoundError as error:
        if error.filename == str(archive):
            raise BackupError(f"{archive} does not exist: give a file that backup wrote") from error
        raise
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _corrupt(archive, str(error)) from error


def _corrupt(archive: Path, problem: str) -> BackupError:
    return BackupError(f"{archive} is damaged: {problem}; nothing was restored, take another backup")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(member)
    assert content is not None, "regular files have content"
    return content


def _parse(archive: Path, body: bytes) -> dict[str, Any]:
    """The manifest, checked for everything that later code relies on."""
    try:
        manifest = json.loads(body)
        found = manifest["format"]
        if found != FORMAT:
            raise BackupError(
                f"{archive} has backup format {found}, but this release knows format {FORMAT}: use a newer release"
            )
        names = [server["name"] for server in manifest["servers"]]
        files: dict[str, Any] = manifest["files"]
        for name, file in files.items():
            server, _, rest = name.partition("/")
            if server not in names or not _FILE.fullmatch(rest):
                raise _corrupt(archive, f"{name!r} is no file of a server")
            if not isinstance(file["size"], int) or not isinstance(file["sha256"], str):
                raise TypeError(name)
        for name in names:
            if not _SERVER.fullmatch(name) or names.count(name) > 1 or f"{name}/{DATABASE}" not in files:
                raise _corrupt(archive, f"{name!r} is no server with a database")
        if not names or not isinstance(manifest["created"], int | float):
            raise KeyError("servers")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _corrupt(archive, f"{MANIFEST} cannot be read") from error
    return dict(manifest)


def _extract(content: IO[bytes], path: Path) -> str:
    """Write ``content`` to the new file ``path``; the digest of what was written."""
    digest = hashlib.sha256()
    with _create(path) as file:
        while block := content.read(_BLOCK):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


# --- files ------------------------------------------------------------------------------------------------------------


def _create(path: Path, *, exclusive: bool = True) -> IO[bytes]:
    """A new file for its owner alone, open for writing."""
    kind = os.O_EXCL if exclusive else os.O_TRUNC
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | kind | os.O_CLOEXEC, 0o600), "wb")


def _write(path: Path, content: bytes) -> None:
    with _create(path) as file:
        file.write(content)


def _sync_tree(directory: Path) -> None:
    for path in (*directory.rglob("*"), directory):
        if path.is_dir():
            sync_directory(path)
        else:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                sync(descriptor)
            finally:
                os.close(descriptor)
