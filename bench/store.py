"""The store: writes by durability, lists, watch fan-out, memory; and what stands right on it: whole writes without
HTTP, and starts of the process.

    python bench/store.py [--json] [--objects 10000] [--directory DIR]

Objects are like ManifestWorks: about 4.5 kB of JSON. Rates are per second of wall-clock time in one process, those of
whole writes per second of CPU; the disk is that of DIR. Targets are those of a modern laptop; with --gate the command
fails where a figure misses half of its target.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from merope.api.crds import crds
from merope.controlplane.pki import Pki
from merope.controlplane.resource import GroupResource
from merope.controlplane.server import Server
from merope.controlplane.store import Change, Durability, Entry, Store
from merope.controlplane.watch import EventEncoder

WORKS = GroupResource("work.open-cluster-management.io", "manifestworks")
LEASES = GroupResource("coordination.k8s.io", "leases")
DEFINITIONS = ("apiextensions.k8s.io", "v1", "customresourcedefinitions")
WRITERS = 32

#: Name of a figure: target, and whether more is better.
TARGETS: dict[str, tuple[float, bool]] = {
    "writes_relaxed_per_s": (4_000, True),
    "writes_durable_per_s": (2_000, True),
    "list_ms": (5, False),
    "list_joined_ms": (150, False),
    "open_s": (1, False),
    "start_empty_s": (0.8, False),
    "start_full_s": (2, False),
    "creates_in_process_per_s": (4_000, True),
    "updates_in_process_per_s": (4_000, True),
    "deliveries_in_process_per_s": (2_000_000, True),
    "memory_works_mb": (90, False),
    "memory_leases_mb": (25, False),
}


def work(number: int, generation: int = 1) -> dict[str, Any]:
    """A work of about 4.8 kB."""
    manifests = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"settings-{index}", "namespace": "default", "labels": {"app": "demo"}},
            "data": {f"key-{key}": f"value {key} of {index} for work {number}" for key in range(12)},
        }
        for index in range(5)
    ]
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": "Complete",
            "message": f"All resources are {kind.lower()}",
            "observedGeneration": generation,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        for kind in ("Applied", "Available", "Progressing")
    ]
    return {
        "apiVersion": "work.open-cluster-management.io/v1",
        "kind": "ManifestWork",
        "metadata": {
            "name": f"work-{number:06}",
            "namespace": f"cluster-{number % 1000:04}",
            "uid": f"00000000-0000-4000-8000-{number:012}",
            "generation": generation,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"work.open-cluster-management.io/manifestworkreplicaset": f"demo.set-{number % 10}"},
            "finalizers": ["cluster.open-cluster-management.io/manifest-work-cleanup"],
            "managedFields": [{"manager": "work", "operation": "Update", "fieldsV1": {"f:spec": {"f:workload": {}}}}],
        },
        "spec": {"workload": {"manifests": manifests}},
        "status": {
            "conditions": conditions,
            "resourceStatus": {
                "manifests": [{"resourceMeta": {"ordinal": i}, "conditions": conditions[:2]} for i in range(2)]
            },
        },
    }


def lease(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": "managed-cluster-lease",
            "namespace": f"cluster-{number:05}",
            "uid": f"00000000-0000-4000-9000-{number:012}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"open-cluster-management.io/cluster-name": f"cluster-{number:05}"},
        },
        "spec": {"leaseDurationSeconds": 60, "renewTime": "2026-01-01T00:00:00.000000Z"},
    }


async def fill(store: Store, objects: int) -> tuple[float, float]:
    """Create that many works from concurrent writers; returns seconds of time and of CPU."""

    async def writer(first: int) -> None:
        for number in range(first, objects, WRITERS):
            obj = made[number]
            meta = obj["metadata"]
            await store.put(WORKS, meta["namespace"], meta["name"], obj, None)

    made = [work(number) for number in range(objects)]
    # What is prepared here is no garbage that the store's writes should pay for looking at.
    gc.freeze()
    begin, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(writer(first) for first in range(WRITERS)))
    spent = time.perf_counter() - begin, time.process_time() - cpu
    gc.unfreeze()
    return spent


async def update_all(store: Store) -> float:
    """Change every work once from concurrent writers; returns seconds."""
    entries = list(store.list(WORKS))

    async def writer(mine: list[Entry]) -> None:
        for entry in mine:
            obj = entry.copy()
            obj["metadata"]["generation"] += 1
            await store.put(*entry.key, obj, store.head(*entry.key))

    begin = time.perf_counter()
    await asyncio.gather(*(writer(entries[first::WRITERS]) for first in range(WRITERS)))
    return time.perf_counter() - begin


def best(measure: Callable[[], object], times: int = 5) -> float:
    """The shortest of several runs, in seconds."""
    shortest = float("inf")
    for _ in range(times):
        begin = time.perf_counter()
        measure()
        shortest = min(shortest, time.perf_counter() - begin)
    return shortest


async def writes(figures: dict[str, float], directory: Path, objects: int) -> None:
    for mode in Durability:
        path = None if mode is Durability.MEMORY else directory / mode / "store.db"
        store = Store(path, durability=mode)
        await store.open()
        count = objects if mode is not Durability.DURABLE else min(objects, 4000)
        spent, cpu = await fill(store, count)
        figures[f"writes_{mode}_per_s"] = count / spent
        figures[f"write_{mode}_cpu_us"] = cpu / count * 1e6
        figures[f"updates_{mode}_per_s"] = count / await update_all(store)
        await store.close()
    store = Store(directory / "single" / "store.db")
    await store.open()
    begin = time.perf_counter()
    for number in range(200):
        obj = work(number)
        await store.put(WORKS, obj["metadata"]["namespace"], obj["metadata"]["name"], obj, None)
    figures["write_durable_alone_ms"] = (time.perf_counter() - begin) / 200 * 1e3
    await store.close()


async def reads(figures: dict[str, float], directory: Path, objects: int) -> None:
    begin = time.perf_counter()
    store = Store(directory / Durability.RELAXED / "store.db")
    await store.open()
    figures["open_s"] = time.perf_counter() - begin
    assert store.count(WORKS) == objects

    figures["list_ms"] = best(lambda: store.list(WORKS)) * 1e3
    figures["list_joined_ms"] = best(lambda: b",".join([entry.data for entry in store.list(WORKS)])) * 1e3
    entry = store.list(WORKS)[objects // 2]
    figures["get_us"] = best(lambda: [store.get(*entry.key) for _ in range(1000)]) * 1e3
    past = store.rv
    for one in store.list(WORKS)[:500]:
        obj = one.copy()
        store.begin_put(*one.key, obj, one)
    await store.wait_for(past + 500, 30)
    figures["list_past_ms"] = best(lambda: store.list_at(WORKS, "", past)) * 1e3
    await store.close()


async def fan_out(figures: dict[str, float]) -> None:
    store = Store()
    counted = 0

    def count(change: Change) -> None:
        nonlocal counted
        counted += 1

    for _ in range(100):
        store.subscribe(count, WORKS)
    # Including the writes.
    spent, _ = await fill(store, 2000)
    figures["deliveries_in_process_per_s"] = counted / spent

    store = Store()
    watchers = [store.watch(WORKS) for _ in range(100)]
    encoder = EventEncoder()
    delivered = 0
    done = asyncio.Event()

    async def drain(number: int) -> None:
        nonlocal delivered
        watcher = watchers[number]
        while changes := await watcher.batch():
            b"".join([line for change in changes if (line := encoder.line(change)) is not None])
            delivered += len(changes)
            if delivered >= 200_000:
                done.set()

    tasks = [asyncio.create_task(drain(number)) for number in range(100)]
    begin = time.perf_counter()
    await fill(store, 2000)
    await done.wait()
    figures["deliveries_encoded_per_s"] = delivered / (time.perf_counter() - begin)
    await store.close()
    await asyncio.gather(*tasks)


async def memory(figures: dict[str, float], objects: int) -> None:
    for name, storage, make in (("works", WORKS, work), ("leases", LEASES, lease)):
        store = Store()
        gc.collect()
        tracemalloc.start()
        for number in range(objects):
            obj = make(number)
            store.begin_put(storage, obj["metadata"]["namespace"], obj["metadata"]["name"], obj, None)
        await store.wait_for(objects + 1, 60)
        del obj
        gc.collect()
        figures[f"memory_{name}_mb"] = tracemalloc.get_traced_memory()[0] / 1e6
        tracemalloc.stop()
        await store.close()


def config_map(number: int) -> dict[str, Any]:
    """A ConfigMap of about 4.8 kB: an object that every server knows."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"settings-{number:06}", "namespace": "default", "labels": {"app": "demo"}},
        "data": {f"key-{key}": f"value {key} of {number} ".ljust(100, ".") for key in range(40)},
    }


async def whole_writes(figures: dict[str, float], directory: Path) -> None:
    """Works from decoding to commit without HTTP, from concurrent clients; the store is relaxed. Per second of CPU."""
    server = Server("bench", Store(directory / "server" / "store.db", durability=Durability.RELAXED), Pki())
    await server.start()
    client, count = server.local(), 2000
    for definition in crds([WORKS.group]):
        await client.create(DEFINITIONS, definition)
    async with asyncio.timeout(10):
        while server.lookup(WORKS.group, "v1", WORKS.plural) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    made = [work(number) for number in range(count)]
    for obj in made:
        obj["metadata"] = {"name": obj["metadata"]["name"], "namespace": "default", "labels": obj["metadata"]["labels"]}

    async def run(verb: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]) -> float:
        async def some(first: int) -> None:
            for number in range(first, count, WRITERS):
                made[number] = await verb(made[number])
                made[number]["spec"]["workload"]["manifests"][0]["data"]["more"] = "x"

        begin = time.process_time()
        await asyncio.gather(*(some(first) for first in range(WRITERS)))
        return count / (time.process_time() - begin)

    path = (WORKS.group, "v1", WORKS.plural)
    figures["creates_in_process_per_s"] = await run(lambda obj: client.create(path, obj, "default"))
    figures["updates_in_process_per_s"] = await run(lambda obj: client.update(path, obj))
    await server.stop()


def start(state: Path) -> float:
    """Seconds from the start of a process to its first answer."""
    begin = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "merope.controlplane", f"--state={state}", "--server=hub"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        seconds = time.perf_counter() - begin
        process.terminate()
    return seconds


async def starts(figures: dict[str, float], directory: Path, objects: int) -> None:
    state = directory / "state"
    figures["start_empty_s"] = await asyncio.to_thread(start, state)
    store = Store(state / "hub" / "store.db")
    await store.open()
    for number in range(objects):
        obj = config_map(number)
        obj["metadata"]["uid"] = f"00000000-0000-4000-a000-{number:012}"
        store.begin_put(GroupResource("", "configmaps"), "default", obj["metadata"]["name"], obj, None)
    await store.close()
    figures["start_full_s"] = await asyncio.to_thread(start, state)


async def measure(directory: Path, objects: int) -> dict[str, float]:
    figures: dict[str, float] = {"object_bytes": len(json.dumps(work(1), separators=(",", ":")))}
    await writes(figures, directory, objects)
    await reads(figures, directory, objects)
    await fan_out(figures)
    await memory(figures, objects)
    await whole_writes(figures, directory)
    await starts(figures, directory, objects)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--gate", action="store_true", help="fail where a figure misses half of its target")
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--directory", type=Path, help="where to write; by default a temporary directory")
    options = parser.parse_args()
    try:
        import uvloop

        loop_factory = uvloop.new_event_loop
    except ImportError:
        loop_factory = None
    with (
        tempfile.TemporaryDirectory(dir=options.directory) as directory,
        asyncio.Runner(loop_factory=loop_factory) as runner,
    ):
        figures = runner.run(measure(Path(directory), options.objects))
    missed = [
        name
        for name, (target, more) in TARGETS.items()
        if (figures[name] < target / 2 if more else figures[name] > target * 2)
    ]
    if options.json:
        print(json.dumps({"benchmark": "store", "objects": options.objects, "figures": figures, "missed": missed}))
    else:
        for name, value in figures.items():
            target = f"   (target {TARGETS[name][0]:,})" if name in TARGETS else ""
            print(f"{name:32} {value:>14,.1f}{target}")
    return 1 if options.gate and missed else 0


if __name__ == "__main__":
    sys.exit(main())
