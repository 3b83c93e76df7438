"""Backup and restore: what is copied, what is refused, and what happens when the process dies."""

from __future__ import annotations

import asyncio
import errno
import gzip
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import stat
import sys
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from merope.controlplane import backup
from merope.controlplane.backup import (
    JUMP,
    JUMP_PER_SECOND,
    BackupError,
    back_up,
    complete_restore,
    copy_database,
    restore,
)
from merope.controlplane.persistence import RESERVATION, StateLock
from merope.controlplane.resource import GroupResource
from merope.controlplane.store import Expired, Store

MAPS = GroupResource("", "configmaps")


def config_map(name: str, value: str = "v") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"}, "data": {"k": value}}


async def _write(directory: Path, names: list[str], value: str) -> int:
    store = Store(directory / "store.db")
    await store.open()
    for name in names:
        await store.put(MAPS, "default", name, config_map(name, value), store.head(MAPS, "default", name))
    reached = store.rv
    await store.close()
    return reached


def write(directory: Path, *names: str, value: str = "v") -> int:
    """Put objects into a server's store and close it; the last version."""
    return asyncio.run(_write(directory, list(names), value))


async def _read(directory: Path) -> tuple[dict[str, str], int]:
    store = Store(directory / "store.db")
    await store.open()
    found = {entry.name: entry.parsed()["data"]["k"] for entry in store.list(MAPS)}
    reached = store.rv
    await store.close()
    return found, reached


def read(directory: Path) -> tuple[dict[str, str], int]:
    """The objects of a server, and the version that it begins above."""
    return asyncio.run(_read(directory))


def server(state: Path, name: str, *objects: str, value: str = "v") -> int:
    """A server's directory as one that ran leaves it; the last version."""
    reached = write(state / name, *objects, value=value)
    (state / name / "pki").mkdir(mode=0o700, exist_ok=True)
    for file in ("ca.key", "ca.crt", "sa.key"):
        (state / name / "pki" / file).write_text(f"{name} {file} {value}")
    (state / name / "server.json").write_text(json.dumps({"format": 1, "port": 6443}))
    (state / name / "admin.kubeconfig").write_text("derived")
    return reached


@pytest.fixture
def state(tmp_path: Path) -> Path:
    server(tmp_path / "state", "hub", "a", "b")
    server(tmp_path / "state", "c1", "x")
    return tmp_path / "state"


@pytest.fixture
def archive(state: Path, tmp_path: Path) -> Path:
    back_up(state, tmp_path / "backup.tar.gz")
    return tmp_path / "backup.tar.gz"


def tree(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in ("lock", ".restore.lock")
    }


# --- backup -----------------------------------------------------------------------------------------------------------


def test_an_archive_holds_databases_keys_and_ports_and_is_for_its_owner_alone(state: Path, tmp_path: Path) -> None:
    saved = back_up(state, tmp_path / "out.tar.gz")

    assert [(one.name, one.objects) for one in saved] == [("c1", 1), ("hub", 2)]
    assert stat.S_IMODE((tmp_path / "out.tar.gz").stat().st_mode) == 0o600
    with tarfile.open(tmp_path / "out.tar.gz") as tar:
        assert tar.getnames() == [
            "manifest.json",
            *(f"c1/{name}" for name in ("pki/ca.crt", "pki/ca.key", "pki/sa.key", "server.json", "store.db")),
            *(f"hub/{name}" for name in ("pki/ca.crt", "pki/ca.key", "pki/sa.key", "server.json", "store.db")),
        ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.tar.gz", "state"]


def test_only_the_servers_that_were_asked_for_are_saved(state: Path, tmp_path: Path) -> None:
    assert [one.name for one in back_up(state, tmp_path / "out", ["hub"])] == ["hub"]


def test_what_is_only_in_the_log_is_saved_too(tmp_path: Path) -> None:
    async def copy_while_open() -> int:
        store = Store(tmp_path / "state" / "hub" / "store.db")
        await store.open()
        await store.put(MAPS, "default", "a", config_map("a"), None)
        assert os.stat(f"{tmp_path}/state/hub/store.db-wal").st_size > 0
        # As another process would: within this one, closing the file would take the store's locks away.
        run_in_child(lambda: back_up(tmp_path / "state", tmp_path / "out"))
        reached = store.rv
        await store.close()
        return reached

    reached = asyncio.run(copy_while_open())
    restore(tmp_path / "elsewhere", tmp_path / "out")

    found, begins = read(tmp_path / "elsewhere" / "hub")
    assert found == {"a": "v"}
    assert begins > reached


def run_in_child(action: Callable[[], object]) -> int:
    """Run in a forked process; its exit status (negative: the signal)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        try:
            action()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_copy_taken_while_pages_move_from_the_log_to_the_file_is_whole(tmp_path: Path) -> None:
    """Each transaction keeps a sum; a copy that mixed two states would break it."""
    source = tmp_path / "source" / "store.db"
    source.parent.mkdir()

    def write_forever() -> None:
        connection = sqlite3.connect(source, isolation_level=None)
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA wal_autocheckpoint=200")
        connection.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID")
        connection.execute("CREATE TABLE obj (key TEXT PRIMARY KEY, rv INTEGER, crc INTEGER, value BLOB)")
        connection.execute("INSERT INTO meta VALUES ('format', 1), ('ceiling', 1)")
        chosen = random.Random(1)
        connection.execute("BEGIN")
        for number in range(300):
            connection.execute("INSERT INTO obj VALUES (?, 0, 0, ?)", (f"k{number}", b"x" * 3000))
        connection.execute("COMMIT")
        (tmp_path / "begun").touch()
        while not (tmp_path / "stop").exists():
            connection.execute("BEGIN")
            for number in chosen.sample(range(300), 20):
                connection.execute("UPDATE obj SET rv=rv+1, value=? WHERE key=?", (os.urandom(3000), f"k{number}"))
            connection.execute("UPDATE meta SET value=value+20 WHERE name='ceiling'")
            connection.execute("COMMIT")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        try:
            write_forever()
        finally:
            os._exit(0)
    try:
        while not (tmp_path / "begun").exists():
            assert os.waitpid(child, os.WNOHANG) == (0, 0)
        seen = set()
        for number in range(12):
            target = tmp_path / f"copy{number}.db"
            copy_database(source, target)
            connection = sqlite3.connect(target)
            total = connection.execute("SELECT sum(rv) FROM obj").fetchone()[0]
            ceiling = connection.execute("SELECT value FROM meta WHERE name='ceiling'").fetchone()[0]
            connection.close()
            assert total == ceiling - 1
            seen.add(total)
        assert len(seen) > 1, "nothing was written meanwhile"
    finally:
        (tmp_path / "stop").touch()
        os.waitpid(child, 0)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"state": "nowhere"}, r"nowhere holds no server's state: give the directory .* --state"),
        ({"servers": ["c9"]}, r"c9/store.db does not exist.*servers with a database there: c1, hub"),
        ({"servers": ["../state/hub"]}, r"does not exist"),
        ({"output": "absent/out"}, r"absent/out is in a directory that does not exist: give"),
        ({"output": "state"}, r"state is a directory: give"),
    ],
)
def test_a_backup_that_cannot_be_says_which_file_and_what_to_do(
    state: Path, tmp_path: Path, arguments: dict[str, Any], text: str
) -> None:
    given = {"state": "state", "output": "out", "servers": []} | arguments

    with pytest.raises(BackupError, match=text):
        back_up(tmp_path / given["state"], tmp_path / given["output"], given["servers"])


def test_a_damaged_database_is_not_saved_and_the_last_archive_stays(state: Path, archive: Path) -> None:
    before = archive.read_bytes()
    database = state / "hub" / "store.db"
    content = bytearray(database.read_bytes())
    content[8192:24576] = os.urandom(16384)
    database.write_bytes(content)

    with pytest.raises(BackupError, match=r"hub/store.db cannot be copied: .*start its server"):
        back_up(state, archive)
    assert archive.read_bytes() == before


def test_a_row_with_a_wrong_checksum_is_told_and_kept(state: Path, tmp_path: Path) -> None:
    with sqlite3.connect(state / "hub" / "store.db") as connection:
        connection.execute("UPDATE obj SET crc=crc+1 WHERE key LIKE '%/a'")
    connection.close()

    saved = back_up(state, tmp_path / "out", ["hub"])

    assert saved[0].objects == 2
    assert saved[0].unreadable == ("/configmaps/default/a",)


# --- restore ----------------------------------------------------------------------------------------------------------


def test_a_restore_brings_back_objects_keys_and_port(state: Path, archive: Path, tmp_path: Path) -> None:
    restored = restore(tmp_path / "new", archive)

    assert [one.name for one in restored] == ["c1", "hub"]
    assert read(tmp_path / "new" / "hub")[0] == {"a": "v", "b": "v"}
    assert read(tmp_path / "new" / "c1")[0] == {"x": "v"}
    for name in ("pki/ca.key", "pki/ca.crt", "pki/sa.key", "server.json"):
        file = tmp_path / "new" / "hub" / name
        assert file.read_bytes() == (state / "hub" / name).read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new" / "hub" / "pki").stat().st_mode) == 0o700
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [".restore.lock", "c1", "hub"]


def test_versions_go_on_above_those_issued_after_the_backup(state: Path, archive: Path) -> None:
    with sqlite3.connect(state / "hub" / "store.db") as connection:
        connection.execute("UPDATE meta SET value=? WHERE name='ceiling'", (7 * JUMP,))
    connection.close()
    issued = write(state / "hub", "a", "c", value="later")
    assert issued > 7 * JUMP

    restore(state, archive, force=True)

    async def look() -> None:
        store = Store(state / "hub" / "store.db")
        await store.open()
        assert store.rv > issued + RESERVATION
        assert sorted(entry.name for entry in store.list(MAPS)) == ["a", "b"]
        with pytest.raises(Expired):
            store.watch(MAPS, since=issued)
        entry = await store.put(MAPS, "default", "new", config_map("new"), None)
        assert entry.rv > issued
        await store.close()

    asyncio.run(look())


def test_without_the_old_state_versions_jump_with_the_age_of_the_backup(state: Path, tmp_path: Path) -> None:
    saved = back_up(state, tmp_path / "out", ["hub"], now=lambda: 1000.0)

    restored = restore(tmp_path / "new", tmp_path / "out", now=lambda: 4600.5)

    assert restored[0].version == saved[0].version + JUMP + 3600 * JUMP_PER_SECOND
    assert read(tmp_path / "new" / "hub")[1] == restored[0].version


def test_restoring_twice_raises_the_versions_twice(archive: Path, tmp_path: Path) -> None:
    first = restore(tmp_path / "new", archive)
    second = restore(tmp_path / "new", archive, force=True)

    assert all(later.version >= earlier.version + JUMP for earlier, later in zip(first, second, strict=True))


def test_a_damaged_state_can_be_replaced(state: Path, archive: Path) -> None:
    (state / "hub" / "store.db").write_bytes(b"no database at all")

    restored = {one.name: one.version for one in restore(state, archive, force=True, now=lambda: 1_800_000_000.0)}

    assert restored["hub"] > 1_800_000_000_000
    assert read(state / "hub")[0] == {"a": "v", "b": "v"}


def test_a_state_is_replaced_only_with_force(state: Path, archive: Path) -> None:
    before = tree(state)

    with pytest.raises(BackupError, match=r"state/c1 holds the state of a server already: .*--force"):
        restore(state, archive)
    assert tree(state) == before


def test_other_servers_of_the_state_are_left_alone(state: Path, archive: Path) -> None:
    server(state, "c2", "y")
    before = tree(state / "c2")

    restore(state, archive, force=True)

    assert tree(state / "c2") == before


@pytest.mark.parametrize("name", ["hub", "c1"])
def test_a_running_server_is_not_replaced(state: Path, archive: Path, name: str) -> None:
    before = tree(state)
    lock = StateLock(state / name / "lock")
    lock.acquire()
    try:
        with pytest.raises(BackupError, match=rf"state/{name} is in use by another process \(pid \d+\): stop it"):
            restore(state, archive, force=True)
    finally:
        lock.release()
    assert tree(state) == before


def test_a_refused_restore_leaves_no_directories(archive: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    server(new, "hub", "mine")

    with pytest.raises(BackupError, match="hub holds the state"):
        restore(new, archive)
    assert sorted(path.name for path in new.iterdir()) == [".restore.lock", "hub"]


# --- archives that are not what they should be ------------------------------------------------------------------------


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_archive_changes_nothing(state: Path, archive: Path, part: float) -> None:
    before = tree(state)
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * part)])

    with pytest.raises(BackupError, match=r"backup.tar.gz is"):
        restore(state, archive, force=True)
    assert tree(state) == before


def test_a_flipped_bit_is_noticed_and_changes_nothing(state: Path, archive: Path) -> None:
    before = tree(state)
    good = archive.read_bytes()
    chosen = random.Random(7)
    for _ in range(40):
        content = bytearray(good)
        # Past the header of gzip, whose time and flags mean nothing.
        content[chosen.randrange(12, len(content))] ^= 1 << chosen.randrange(8)
        archive.write_bytes(content)

        with pytest.raises(BackupError, match=r"backup.tar.gz is damaged|is no backup"):
            restore(state, archive, force=True)
    assert tree(state) == before


def rewritten(archive: Path, alter: Callable[[dict[str, Any], list[tuple[tarfile.TarInfo, bytes]]], None]) -> None:
    """Change the manifest and members of an archive, with all outer checksums right."""
    with tarfile.open(archive) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    manifest = json.loads(members.pop(0)[1])
    alter(manifest, members)
    body = json.dumps(manifest).encode()
    first = tarfile.TarInfo("manifest.json")
    first.size = len(body)
    with tarfile.open(archive, "w:gz") as tar:
        for member, content in [(first, body), *members]:
            tar.addfile(member, io.BytesIO(content))


def _member(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in fields.items():
        setattr(member, key, value)
    return member, content


def _listed(name: str) -> Callable[[dict[str, Any], list[Any]], None]:
    """A member outside of what a server has, which the manifest lists."""

    def alter(manifest: dict[str, Any], members: list[Any]) -> None:
        digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
        manifest["files"][name] = {"size": 1, "sha256": digest}
        members.append(_member(name, b"x"))

    return alter


def _renamed(manifest: dict[str, Any], members: list[Any]) -> None:
    for server in manifest["servers"]:
        server["name"] = f"../{server['name']}"


def _link(manifest: dict[str, Any], members: list[Any]) -> None:
    """A directory of keys that leads out of the state."""
    members.insert(0, _member("hub/pki", type=tarfile.SYMTYPE, linkname="/tmp"))


def _linked_file(manifest: dict[str, Any], members: list[Any]) -> None:
    """A listed file as a link."""
    for index, (member, _) in enumerate(members):
        if member.name == "hub/pki/ca.key":
            manifest["files"][member.name]["size"] = 0
            members[index] = _member(member.name, type=tarfile.LNKTYPE, linkname="../../../etc/passwd")


@pytest.mark.parametrize(
    ("alter", "text"),
    [
        (_listed("../evil"), "'../evil' is no file of a server"),
        (_listed("hub/../../evil"), "is no file of a server"),
        (_listed("/tmp/evil"), "is no file of a server"),
        (_listed("hub/pki/../../evil"), "is no file of a server"),
        (_listed("hub/pki/.."), "is no file of a server"),
        (_listed("hub/lock"), "is no file of a server"),
        (_renamed, "is no file of a server|is no server"),
        (_link, "'hub/pki' is not what its manifest says"),
        (_linked_file, "'hub/pki/ca.key' is not what its manifest says"),
        (lambda manifest, members: members.append(_member("../evil", b"x")), "'../evil' is not what"),
        (lambda manifest, members: members.append(_member("hub/pki", type=tarfile.DIRTYPE)), "is not what"),
        (lambda manifest, members: members.append(members[0]), "is not what"),
        (lambda manifest, members: members.pop(), "is missing"),
        (lambda manifest, members: manifest["files"]["hub/store.db"].update(sha256="0" * 64), "checksum of 'hub/store"),
        (lambda manifest, members: manifest["files"].pop("hub/server.json"), "is not what"),
        (lambda manifest, members: manifest["servers"].clear(), "is no file of a server"),
        (lambda manifest, members: manifest.pop("created"), "manifest.json cannot be read"),
        (lambda manifest, members: manifest.update(files=[]), "manifest.json cannot be read"),
        (lambda manifest, members: manifest.update(format=2), "has backup format 2, .* use a newer release"),
    ],
)
def test_an_archive_that_was_tampered_with_changes_nothing(
    state: Path, archive: Path, alter: Callable[[dict[str, Any], list[Any]], None], text: str
) -> None:
    rewritten(archive, alter)
    before = tree(state.parent)

    with pytest.raises(BackupError, match=text):
        restore(state, archive, force=True)
    assert tree(state.parent) == before


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "does not exist: give a file that backup wrote"),
        (b"", "is no backup|is damaged"),
        (b"some text", "is damaged"),
        (gzip.compress(b"some text"), "is damaged|is no backup"),
    ],
)
def test_what_is_no_archive_is_told_so(tmp_path: Path, content: bytes | None, text: str) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(BackupError, match=text):
        restore(tmp_path / "new", path)


def test_a_database_of_a_newer_release_is_refused(state: Path, tmp_path: Path) -> None:
    with sqlite3.connect(state / "hub" / "store.db") as connection:
        connection.execute("UPDATE meta SET value=99 WHERE name='format'")
    connection.close()

    with pytest.raises(BackupError, match=r"store.db has state format 99, .*: use a newer release"):
        back_up(state, tmp_path / "out", ["hub"])


# --- death ------------------------------------------------------------------------------------------------------------

_EVENTS = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"}


def _die_at(number: int) -> None:
    """Let this process be killed just before its ``number``-th change of the file system."""
    left = number

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in _EVENTS or writes or event == "sqlite3.connect":
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def test_a_restore_that_is_killed_at_any_point_happened_for_all_servers_or_for_none(
    state: Path, archive: Path, tmp_path: Path
) -> None:
    server(state, "hub", "a", "later", value="later")
    server(state, "c1", "x", "later", value="later")
    old, new = {"a": "later", "b": "v", "later": "later"}, {"a": "v", "b": "v"}
    outcomes = []
    for number in range(1, 1000):
        work = tmp_path / "work"
        shutil.copytree(state, work)

        def die(number: int = number, work: Path = work) -> None:
            _die_at(number)
            restore(work, archive, force=True)

        status = run_in_child(die)
        completed = complete_restore(work)
        hub, c1 = read(work / "hub")[0], read(work / "c1")[0]
        assert (hub, c1) in ((old, {"x": "later", "later": "later"}), (new, {"x": "v"})), number
        key = (work / "hub" / "pki" / "ca.key").read_text()
        assert key == ("hub ca.key v" if hub == new else "hub ca.key later")
        outcomes.append((hub == new, completed))
        if completed or number % 8 == 0:
            # Whatever was left behind, the next restore works and cleans up.
            restore(work, archive, force=True)
            assert sorted(path.name for path in work.iterdir()) == [".restore.lock", "c1", "hub"]
        shutil.rmtree(work)
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert {(False, False), (True, True), (True, False)} == set(outcomes)


def test_a_pending_restore_is_not_backed_up(state: Path, tmp_path: Path) -> None:
    (state / ".restore").mkdir()

    with pytest.raises(BackupError, match="interrupted"):
        back_up(state, tmp_path / "out")


def _fail_at(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """Let the ``number``-th call of a function of the module fail as on a full disk."""
    real, left = getattr(backup, name), number

    def call(*arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(backup, name, call)


def test_a_full_disk_ends_a_backup_with_the_last_archive_in_place(
    state: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = archive.read_bytes()
    _fail_at(monkeypatch, "sync", 1)

    with pytest.raises(BackupError, match=r"backup.tar.gz: No space left on device; mend"):
        back_up(state, archive)
    assert archive.read_bytes() == before
    assert sorted(path.name for path in archive.parent.iterdir()) == ["backup.tar.gz", "state"]


@pytest.mark.parametrize(
    ("name", "number", "text"),
    [
        ("_extract", 2, "No space left on device; nothing was restored"),
        ("_sync_tree", 1, "No space left on device; nothing was restored"),
        # The first call looks for an older restore.
        ("_move", 2, "No space left on device; the restore is not complete"),
    ],
)
def test_a_full_disk_ends_a_restore_before_it_or_in_it_as_the_message_says(
    state: Path, archive: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int, text: str
) -> None:
    server(state, "hub", "later")
    with monkeypatch.context() as patched:
        _fail_at(patched, name, number)

        with pytest.raises(BackupError, match=text):
            restore(state, archive, force=True)

    restored = complete_restore(state)
    assert restored == ("not complete" in text)
    assert ("later" in read(state / "hub")[0]) != restored
