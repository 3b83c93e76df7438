"""The store's file: restarts, formats, locks, damage."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from merope.controlplane.persistence import (
    FORMAT,
    RESERVATION,
    Connection,
    Database,
    Durability,
    FormatTooNew,
    StateInUse,
)
from merope.controlplane.resource import GroupResource
from merope.controlplane.store import Store

WORKS = GroupResource("work.open-cluster-management.io", "manifestworks")
SECRETS = GroupResource("", "secrets")


def work(name: str, namespace: str = "c1", pad: str = "") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": {"l": name}}, "pad": pad}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub" / "store.db"


async def opened(path: Path, mode: str = "durable") -> Store:
    store = Store(path, durability=Durability(mode))
    await store.open()
    return store


def alter(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def content(path: Path) -> bytes:
    return path.read_bytes()


def create(path: Path, data: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(data)


def overwrite_middle(path: Path, pages: int, size: int = 8192) -> None:
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // size * size
    data[middle : middle + pages * size] = b"\xde\xad" * (pages * size // 2)
    path.write_bytes(data)


@pytest.mark.parametrize("mode", ["durable", "relaxed"])
async def test_a_restart_finds_every_object_as_it_was(path: Path, mode: str) -> None:
    store = await opened(path, mode)
    kept = await store.put(WORKS, "c1", "kept", work("kept"), None)
    changed = await store.put(WORKS, "c1", "changed", work("changed"), None)
    gone = await store.put(SECRETS, "c1", "gone", work("gone"), None)
    changed = await store.put(WORKS, "c1", "changed", work("changed", pad="x"), changed)
    await store.delete(SECRETS, "c1", "gone", gone)
    scoped = await store.put(WORKS, "", "system:a/b", work("system:a/b", ""), None)
    await store.close()

    store = await opened(path, mode)

    for entry in (kept, changed, scoped):
        found = store.get(*entry.key)
        assert found is not None
        assert (found.data, found.rv, found.uid, found.labels) == (entry.data, entry.rv, entry.uid, entry.labels)
    assert store.get(*gone.key) is None
    assert [entry.name for entry in store.list(WORKS)] == ["system:a/b", "changed", "kept"]
    assert store.problems() == []
    await store.close()


async def test_versions_go_on_right_after_a_clean_stop_and_above_the_reservation_after_a_crash(path: Path) -> None:
    store = await opened(path)
    entry = await store.put(WORKS, "c1", "a", work("a"), None)
    await store.close()
    store = await opened(path)
    assert store.rv == entry.rv
    # Nothing has happened in between: a watch from that version can go on.
    assert store.watch(WORKS, since=entry.rv).take() == []

    assert store._database is not None
    store._database.close()
    await store.close()

    store = await opened(path)
    assert store.rv >= entry.rv + RESERVATION
    await store.close()


async def test_the_reservation_grows_ahead_of_the_versions(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("store", "persistence"):
        monkeypatch.setattr(f"merope.controlplane.{module}.RESERVATION", 20)
    for mode in ("durable", "relaxed"):
        store = await opened(path, mode)
        ceilings: list[bool] = []
        store.subscribe(lambda change, store=store, seen=ceilings: seen.append(change.rv <= store._ceiling))
        for number in range(100):
            name = f"{mode}-{number}"
            await store.put(WORKS, "c1", name, work(name), None)
        assert ceilings == [True] * 100
        await store.close()


async def test_relaxed_writes_reach_the_file_by_themselves(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = threading.Event()
    write = Database.write

    def record(self: Database, rows: Any, ceiling: int | None = None) -> None:
        write(self, rows, ceiling)
        if any(key.endswith("/b") for key in rows):
            saved.set()

    monkeypatch.setattr(Database, "write", record)
    store = await opened(path, "relaxed")
    await store.put(WORKS, "c1", "a", work("a"), None)
    await store.put(WORKS, "c1", "b", work("b"), None)
    await asyncio.to_thread(saved.wait, 5)

    assert saved.is_set()
    await store.close()


async def test_a_second_process_is_kept_out_and_told_by_whom(path: Path) -> None:
    store = await opened(path)

    with pytest.raises(StateInUse, match=str(os.getpid())):
        await opened(path)
    await store.close()

    await (await opened(path)).close()


async def test_a_start_that_is_called_off_leaves_no_lock_behind(path: Path) -> None:
    opening = asyncio.create_task(opened(path))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening

    await (await opened(path)).close()


async def test_a_killed_process_leaves_no_lock_behind(path: Path) -> None:
    code = f"""
import asyncio, os, signal
from pathlib import Path
from merope.controlplane.store import Store
from merope.controlplane.resource import GroupResource
async def main():
    store = Store(Path({str(path)!r}))
    await store.open()
    await store.put(GroupResource("", "secrets"), "c1", "s", {{"metadata": {{"name": "s"}}}}, None)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], timeout=60)

    store = await opened(path)

    assert store.count(SECRETS) == 1
    await store.close()


async def test_state_of_a_newer_format_is_refused_and_left_alone(path: Path) -> None:
    await (await opened(path)).close()
    alter(path, f"UPDATE meta SET value={FORMAT + 1} WHERE name='format'")
    before = content(path)

    with pytest.raises(FormatTooNew, match="use a newer release"):
        await opened(path)

    assert content(path) == before
    # The lock was given back: the newer release can start.
    alter(path, f"UPDATE meta SET value={FORMAT} WHERE name='format'")
    await (await opened(path)).close()


async def test_state_of_an_older_format_is_migrated_step_by_step(path: Path) -> None:
    store = await opened(path)
    await store.put(WORKS, "c1", "a", work("a"), None)
    await store.close()
    steps: list[int] = []

    def first(connection: Connection) -> None:
        steps.append(1)
        connection.execute("ALTER TABLE obj ADD COLUMN note TEXT")

    def second(connection: Connection) -> None:
        steps.append(2)
        connection.execute("UPDATE obj SET note='migrated'")

    for _ in range(2):
        database = Database(path, format=FORMAT + 2, migrations={FORMAT: first, FORMAT + 1: second})
        assert len(database.open().rows) == 1
        database.close()

    assert steps == [1, 2]
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT note FROM obj").fetchall() == [("migrated",)]
        assert connection.execute("SELECT value FROM meta WHERE name='format'").fetchone() == (FORMAT + 2,)
    connection.close()


async def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    await (await opened(path)).close()

    def broken(connection: Connection) -> None:
        connection.execute("CREATE TABLE half (done)")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        Database(path, format=FORMAT + 1, migrations={FORMAT: broken}).open()

    store = await opened(path)
    assert store.problems() == []
    await store.close()


async def test_corrupt_rows_are_quarantined_and_the_rest_is_served(path: Path) -> None:
    store = await opened(path)
    for name in ("good", "flipped", "senseless"):
        await store.put(WORKS, "c1", name, work(name), None)
    await store.close()

    alter(
        path,
        "UPDATE obj SET value=x'7b7d' WHERE key LIKE '%/flipped'",
        f"UPDATE obj SET value=x'5b5d', crc={zlib.crc32(b'[]')} WHERE key LIKE '%/senseless'",
    )

    store = await opened(path)

    assert [entry.name for entry in store.list(WORKS)] == ["good"]
    assert sorted(item.key.rpartition("/")[2] for item in store.quarantined) == ["flipped", "senseless"]
    assert any("flipped is quarantined: the checksum" in problem for problem in store.problems())
    await store.put(WORKS, "c1", "flipped", work("flipped"), None)
    await store.close()

    store = await opened(path)
    assert store.quarantined == []
    assert store.count(WORKS) == 2
    await store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM quarantine").fetchone() == (2,)
    connection.close()


async def test_a_damaged_file_is_kept_aside_and_what_can_be_read_is_served(path: Path) -> None:
    store = await opened(path)
    for number in range(200):
        await store.put(WORKS, "c1", f"w{number:03}", work(f"w{number:03}", pad="x" * 1000), None)
    last = store.rv
    await store.close()
    overwrite_middle(path, pages=3)

    store = await opened(path)

    assert 100 < store.count(WORKS) < 200
    assert store.rv >= last
    assert any("damaged" in problem for problem in store.problems())
    assert len(list(path.parent.glob("store.db.damaged-*"))) == 1
    await store.close()
    store = await opened(path)
    assert store.problems() == []
    await store.close()


async def test_a_file_that_is_no_database_is_kept_aside(path: Path) -> None:
    create(path, b"something else entirely" * 1000)

    store = await opened(path)

    assert len(store.problems()) == 1
    # How far the lost state had got is not known; no version of it may come again.
    assert store.rv >= time.time() * 1000 - 60_000
    await store.put(WORKS, "c1", "a", work("a"), None)
    await store.close()


async def test_a_backup_is_a_state_of_its_own(path: Path, tmp_path: Path) -> None:
    store = await opened(path, "relaxed")
    entry = await store.put(WORKS, "c1", "a", work("a"), None)
    copy = tmp_path / "copy" / "store.db"
    copy.parent.mkdir()

    await store.backup(copy)
    await store.delete(WORKS, "c1", "a", entry)
    await store.close()

    restored = await opened(copy)
    found = restored.get(*entry.key)
    assert found is not None
    assert found.data == entry.data
    await restored.close()


async def test_only_the_owner_can_read_the_state(path: Path) -> None:
    store = await opened(path)
    await store.put(WORKS, "c1", "a", work("a"), None)

    assert path.parent.stat().st_mode & 0o777 == 0o700
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file
    await store.close()


async def test_of_several_writes_of_one_object_in_a_batch_the_last_is_stored(path: Path) -> None:
    store = await opened(path)
    futures = []
    for number in range(5):
        head = store.head(WORKS, "c1", "a")
        futures.append(store.begin_put(WORKS, "c1", "a", work("a", pad=str(number)), head))
    last = await futures[-1]
    head = store.head(WORKS, "c1", "a")
    assert head is not None
    store.begin_delete(WORKS, "c1", "a", head)
    again = await store.put(WORKS, "c1", "a", work("a", pad="again"), None)
    await store.close()

    store = await opened(path)
    assert again.rv == last.rv + 2
    found = store.get(WORKS, "c1", "a")
    assert found is not None
    assert found.data == again.data
    await store.close()
