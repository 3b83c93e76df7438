"""What the store promises about its disk, on a disk whose power can be cut at any operation.

SQLite runs on a virtual disk that knows, for each file, what was synced and what was only written. Cutting the power
takes away what was not synced: all of it, or a random part, in units of sectors, as real disks do. The tests write,
cut, start again, and compare with what had been seen before the cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from merope.controlplane.resource import GroupResource
from merope.controlplane.store import Change, Conflict, Durability, Store, Unavailable

WORKS = GroupResource("work.open-cluster-management.io", "manifestworks")
SECTOR = 512


class DiskFile:
    """``synced`` survives a cut; ``written`` is what the running system reads; ``pending`` is the difference."""

    def __init__(self) -> None:
        self.synced: bytes | None = None
        self.written = bytearray()
        self.pending: list[tuple[int, bytes] | int] = []
        self.syncs = 0

    def apply(self, operation: tuple[int, bytes] | int, content: bytearray) -> None:
        if isinstance(operation, int):
            del content[operation:]
            return
        offset, data = operation
        if len(content) < offset:
            content.extend(bytes(offset - len(content)))
        content[offset : offset + len(data)] = data


class Disk:
    """Files by name. ``cut_after`` operations the power goes; ``full`` makes every write fail for want of space."""

    _names = itertools.count()

    def __init__(self, seed: int = 0) -> None:
        self.files: dict[str, DiskFile] = {}
        self.random = random.Random(seed)
        self.operations = 0
        self.cut_after: int | None = None
        self.powered = True
        self.full = False
        self.failing_sync = False
        self.epoch = 0
        self.name = f"disk-{next(self._names)}"
        self.vfs = DiskVFS(self)

    def step(self, epoch: int) -> None:
        if epoch != self.epoch or not self.powered:
            raise apsw.IOError("no power")
        self.operations += 1
        if self.cut_after is not None and self.operations >= self.cut_after:
            self.powered = False
            raise apsw.IOError("no power")

    def restore(self) -> None:
        """Power on again. Of what was not synced, nothing, everything or a random part has reached the disk."""
        self.epoch += 1
        self.operations = 0
        self.cut_after = None
        self.powered = True
        luck = self.random.choice(("nothing", "everything", "some"))
        for name, file in list(self.files.items()):
            content = bytearray(file.synced or b"")
            survived = file.synced is not None
            for operation in file.pending:
                if luck == "everything" or (luck == "some" and self.random.random() < 0.5):
                    survived = True
                    if not isinstance(operation, int) and luck == "some" and self.random.random() < 0.3:
                        offset, data = operation
                        operation = (offset, data[: SECTOR * self.random.randrange(1 + len(data) // SECTOR)])
                    file.apply(operation, content)
            if not survived:
                del self.files[name]
                continue
            file.synced, file.written, file.pending = bytes(content), content, []


class DiskVFS(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        super().__init__(disk.name, base="", iVersion=1)

    def xFullPathname(self, name: str) -> str:
        return name

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        flags[1] = flags[0]
        text = name.filename() if isinstance(name, apsw.URIFilename) else name or f"temporary-{id(flags)}"
        return DiskHandle(self.disk, text)

    def xAccess(self, name: str, flags: int) -> bool:
        return name in self.disk.files

    def xDelete(self, name: str, sync_directory: bool) -> None:
        self.disk.step(self.disk.epoch)
        self.disk.files.pop(name, None)

    def xRandomness(self, count: int) -> bytes:
        return self.disk.random.randbytes(count)

    def xCurrentTime(self) -> float:
        return 2460000.5

    def xCurrentTimeInt64(self) -> int:
        return 212_500_000_000_000

    def xSleep(self, microseconds: int) -> int:
        return microseconds

    def xGetLastError(self) -> tuple[int, str]:
        return (0, "")


class DiskHandle:
    def __init__(self, disk: Disk, name: str) -> None:
        self.disk = disk
        self.epoch = disk.epoch
        self.file = disk.files.setdefault(name, DiskFile())

    def xRead(self, amount: int, offset: int) -> bytes:
        if self.epoch != self.disk.epoch:
            raise apsw.IOError("no power")
        return bytes(self.file.written[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        self.disk.step(self.epoch)
        if self.disk.full:
            raise apsw.exception_for(apsw.SQLITE_FULL)
        operation = (offset, bytes(data))
        self.file.pending.append(operation)
        self.file.apply(operation, self.file.written)

    def xTruncate(self, size: int) -> None:
        self.disk.step(self.epoch)
        self.file.pending.append(size)
        self.file.apply(size, self.file.written)

    def xSync(self, flags: int) -> None:
        self.disk.step(self.epoch)
        if self.disk.failing_sync:
            raise apsw.IOError("the device does not answer")
        self.file.synced = bytes(self.file.written)
        self.file.pending.clear()
        self.file.syncs += 1

    def xFileSize(self) -> int:
        return len(self.file.written)

    def xLock(self, level: int) -> None: ...

    def xUnlock(self, level: int) -> None: ...

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, operation: int, pointer: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return SECTOR

    def xDeviceCharacteristics(self) -> int:
        return 0

    def xClose(self) -> None: ...


class Connection:
    """An apsw connection on the disk that fails as the standard library's does. ``never_sync`` switches syncing off,
    whatever is asked for.
    """

    def __init__(self, disk: Disk, path: Path, never_sync: bool) -> None:
        with translated():
            self._connection = apsw.Connection(path.name, vfs=disk.name)
        self._never_sync = never_sync

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterable[Any]:
        if self._never_sync and sql.startswith("PRAGMA synchronous"):
            sql = "PRAGMA synchronous=OFF"
        # Checkpoints within reach of a short test.
        sql = sql.replace("wal_autocheckpoint=2000", "wal_autocheckpoint=12")
        with translated():
            return list(self._connection.execute(sql, parameters))

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> object:
        with translated():
            return list(self._connection.executemany(sql, parameters))

    def close(self) -> None:
        with translated():
            self._connection.close(True)


@contextlib.contextmanager
def translated() -> Any:
    try:
        yield
    except apsw.Error as error:
        kind = sqlite3.DatabaseError if isinstance(error, apsw.CorruptError | apsw.NotADBError) else None
        failure = (kind or sqlite3.OperationalError)(str(error))
        failure.sqlite_errorcode = getattr(error, "result", apsw.SQLITE_ERROR)
        raise failure from error


class Machine:
    """A store on a virtual disk, and the memory of everybody who looks at it."""

    def __init__(self, directory: Path, seed: int, *, never_sync: bool = False, mode: str = "durable") -> None:
        self.disk = Disk(seed)
        self.random = random.Random(seed)
        self.path = directory / "store.db"
        self.never_sync = never_sync
        self.mode = Durability(mode)
        #: By name: the last version seen, with its content (None: seen to be deleted).
        self.seen: dict[str, tuple[int, bytes | None]] = {}
        #: Versions that were attempted, with their content; what a crash may leave in place of the last one seen.
        self.attempted: dict[str, dict[int, bytes | None]] = {}
        self.highest = 0
        self.complaints: list[str] = []

    def store(self) -> Store:
        return Store(self.path, durability=self.mode, connect=lambda path: Connection(self.disk, path, self.never_sync))

    def see(self, change: Change) -> None:
        if change.rv <= self.highest:
            self.complaints.append(f"version {change.rv} was issued again after {self.highest}")
        self.highest = max(self.highest, change.rv)
        self.seen[change.entry.name] = (change.rv, None if change.type == "DELETED" else change.entry.data)

    def check(self, store: Store) -> None:
        """Compare what a restarted store holds with what had been seen."""
        if store.rv < self.highest:
            self.complaints.append(f"the store is at {store.rv} although {self.highest} was seen")
        for name, (rv, data) in self.seen.items():
            entry = store.get(WORKS, "c1", name)
            found = entry.data if entry is not None else None
            if found == data:
                continue
            later = [content for version, content in self.attempted.get(name, {}).items() if version > rv]
            if found not in later:
                self.complaints.append(f"{name} was seen at {rv} and is lost")
        names = {entry.name for entry in store.list(WORKS)}
        self.seen = {
            name: (entry.rv, entry.data) for name in names if (entry := store.get(WORKS, "c1", name)) is not None
        } | {name: (rv, None) for name, (rv, _) in self.seen.items() if name not in names}

    async def write(self, store: Store) -> None:
        """Writers that create, change and delete until the power goes."""

        async def writer(number: int) -> None:
            for turn in range(40):
                name = f"w{self.random.randrange(8)}"
                head = store.head(WORKS, "c1", name)
                try:
                    if head is not None and self.random.random() < 0.3:
                        future = store.begin_delete(WORKS, "c1", name, head)
                        content = None
                    else:
                        pad = "x" * self.random.randrange(6000)
                        metadata = {"name": name, "namespace": "c1", "uid": f"u{number}-{turn}"}
                        future = store.begin_put(WORKS, "c1", name, {"metadata": metadata, "pad": pad}, head)
                        newest = store.head(WORKS, "c1", name)
                        assert newest is not None
                        content = newest.data
                    self.attempted.setdefault(name, {})[store._issued] = content
                    await future
                except Conflict:
                    continue
                except Unavailable:
                    return

        await asyncio.gather(*(writer(number) for number in range(4)))

    async def live_until_cut(self, cut_after: int) -> None:
        """One life: start, check, write, lose power."""
        self.disk.cut_after = cut_after
        store = self.store()
        try:
            await store.open()
        except sqlite3.Error:
            self.disk.restore()
            return
        self.check(store)
        store.subscribe(self.see)
        await self.write(store)
        self.disk.powered = False
        with contextlib.suppress(sqlite3.Error):
            await store.close()
        self.disk.restore()


async def lives(machine: Machine, count: int) -> list[str]:
    for _ in range(count):
        await machine.live_until_cut(machine.random.randrange(8, 160))
        if machine.complaints:
            break
    store = machine.store()
    await store.open()
    machine.check(store)
    await store.close()
    return machine.complaints


@pytest.mark.parametrize("seed", range(6))
async def test_what_was_seen_survives_every_power_loss_and_no_version_is_issued_twice(
    tmp_path: Path, seed: int
) -> None:
    assert await lives(Machine(tmp_path, seed), 25) == []


async def test_the_same_check_detects_loss_when_syncing_is_switched_off(tmp_path: Path) -> None:
    complaints = [
        complaint
        for seed in range(4)
        for complaint in await lives(Machine(tmp_path / str(seed), seed, never_sync=True), 25)
    ]

    assert any("is lost" in complaint for complaint in complaints)


@pytest.mark.parametrize("seed", range(3))
async def test_the_relaxed_mode_may_lose_writes_but_never_issues_a_version_twice(tmp_path: Path, seed: int) -> None:
    complaints = await lives(Machine(tmp_path, seed, mode="relaxed"), 25)

    assert [complaint for complaint in complaints if "is lost" not in complaint] == []


def work(name: str, pad: int = 100) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "c1", "uid": name}, "pad": "x" * pad}


async def test_nobody_sees_a_version_before_its_batch_is_synced(tmp_path: Path) -> None:
    machine = Machine(tmp_path, 1)
    store = machine.store()
    await store.open()
    log = machine.disk.files["store.db-wal"]
    syncs_at_sight: list[int] = []
    store.subscribe(lambda change: syncs_at_sight.append(log.syncs))
    before = log.syncs

    future = store.begin_put(WORKS, "c1", "w", work("w"), None)
    assert store.get(WORKS, "c1", "w") is None
    assert store.head(WORKS, "c1", "w") is not None
    entry = await future

    assert store.get(WORKS, "c1", "w") is entry
    assert len(syncs_at_sight) == 1
    assert syncs_at_sight[0] > before
    await store.close()


async def test_a_full_disk_fails_the_batch_and_refuses_writes_until_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merope.controlplane.store.RETRY_DELAY", 0.01)
    machine = Machine(tmp_path, 1)
    store = machine.store()
    await store.open()
    first = await store.put(WORKS, "c1", "w", work("w"), None)
    seen: list[Change] = []
    store.subscribe(seen.append)

    machine.disk.full = True
    failing = [store.begin_put(WORKS, "c1", "w", work("w", 200), first)]
    failing.append(store.begin_put(WORKS, "c1", "v", work("v"), None))
    outcomes = await asyncio.gather(*failing, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    assert store.get(WORKS, "c1", "w") is store.head(WORKS, "c1", "w") is first
    assert store.get(WORKS, "c1", "v") is store.head(WORKS, "c1", "v") is None
    assert seen == []
    with pytest.raises(Unavailable, match="refuses writes"):
        store.begin_put(WORKS, "c1", "v", work("v"), None)

    machine.disk.full = False
    async with asyncio.timeout(5):
        while store.failure:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    second = await store.put(WORKS, "c1", "w", work("w", 300), first)
    assert second.rv > first.rv
    await store.close()

    again = machine.store()
    await again.open()
    assert [(entry.name, entry.rv) for entry in again.list(WORKS)] == [("w", second.rv)]
    assert again.rv >= second.rv
    await again.close()


async def test_a_failed_sync_shows_nothing_and_stops_writes_for_good(tmp_path: Path) -> None:
    machine = Machine(tmp_path, 1)
    store = machine.store()
    await store.open()
    first = await store.put(WORKS, "c1", "w", work("w"), None)

    machine.disk.failing_sync = True
    with pytest.raises(Unavailable):
        await store.put(WORKS, "c1", "w", work("w", 200), first)
    machine.disk.failing_sync = False

    assert store.get(WORKS, "c1", "w") is first
    with pytest.raises(Unavailable):
        await store.put(WORKS, "c1", "w", work("w", 200), first)
    assert any("writes are refused" in problem for problem in store.problems())
    await store.close()


async def test_what_is_on_disk_is_shown_although_the_next_batch_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merope.controlplane.store.PUBLISH_SECONDS", 0.0)
    monkeypatch.setattr("merope.controlplane.store.BATCH", 5)
    machine = Machine(tmp_path, 1)
    store = machine.store()
    await store.open()
    shown: list[str] = []

    def show(change: Change) -> None:
        shown.append(change.entry.name)
        machine.disk.failing_sync = True

    store.subscribe(show)
    futures = [store.begin_put(WORKS, "c1", f"w{number}", work(f"w{number}"), None) for number in range(15)]
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    await store.close()

    good = [outcome.name for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert shown == good == [entry.name for entry in store.list(WORKS)]
    assert 5 <= len(good) < 15
    assert len(good) % 5 == 0
    for number in range(15):
        assert store.head(WORKS, "c1", f"w{number}") is store.get(WORKS, "c1", f"w{number}")


async def test_a_write_that_builds_on_a_failed_one_fails_with_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path, 1)
    store = machine.store()
    await store.open()
    machine.disk.full = True

    first = store.begin_put(WORKS, "c1", "w", work("w"), None)
    await asyncio.sleep(0)
    second = store.begin_put(WORKS, "c1", "w", work("w", 200), store.head(WORKS, "c1", "w"))
    outcomes = await asyncio.gather(first, second, return_exceptions=True)

    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
    assert store.head(WORKS, "c1", "w") is None
    await store.close()
