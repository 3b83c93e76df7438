"""What the Kubernetes client costs: CPU time of this process, against a server in another one that does very little.

Run as ``python bench/kube.py [--json]``. Figures are microseconds of CPU (of this process) for each operation.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
import tempfile
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter, process_time

import orjson

from merope.api.cluster.v1 import ManagedCluster
from merope.kube import CORE, Client, ClientConfig, Controller, Informer, ObjectKey, Snapshot, WorkQueue, ref_of

CM = CORE["ConfigMap"]
ITEMS = 10_000


def managed_cluster(number: int) -> dict:
    """A cluster as a hub has it: claims, capacity, conditions, managed fields."""
    condition = {
        "status": "True",
        "reason": "ManagedClusterAvailable",
        "message": "Managed cluster is available",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    types = ("HubAcceptedManagedCluster", "ManagedClusterJoined", "ManagedClusterConditionAvailable")
    return {
        "apiVersion": "cluster.open-cluster-management.io/v1",
        "kind": "ManagedCluster",
        "metadata": {
            "name": f"cluster{number}",
            "uid": f"00000000-0000-0000-0000-{number:012}",
            "resourceVersion": str(number + 1),
            "generation": 2,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"cloud": "Amazon", "vendor": "OpenShift", "region": f"r{number % 10}"},
            "managedFields": [{"manager": "m", "operation": "Update", "fieldsV1": {"f:spec": {"f:x": {}}}}] * 4,
        },
        "spec": {"hubAcceptsClient": True, "leaseDurationSeconds": 60},
        "status": {
            "conditions": [{**condition, "type": type_} for type_ in types],
            "capacity": {"cpu": "64", "memory": "256Gi"},
            "allocatable": {"cpu": "60", "memory": "240Gi"},
            "version": {"kubernetes": "v1.34.4"},
            "clusterClaims": [{"name": f"claim{claim}", "value": "v" * 20} for claim in range(8)],
        },
    }


def _response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Canned(asyncio.Protocol):
    """Answers whatever comes with a prepared response: a single object, a page, or an endless watch."""

    one = _response(orjson.dumps(managed_cluster(1)))
    stream = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if b"watch=1" in data:
            self.transport.write(self.stream)
        else:
            self.transport.write(self.one * data.count(b" HTTP/1.1\r\n"))


def _chunked(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    step = 64 * 1024
    pieces = (body[at : at + step] for at in range(0, len(body), step))
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


async def serve(directory: Path) -> None:
    """The server process: prints its port and serves until its standard input closes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    lines = [orjson.dumps({"type": "ADDED", "object": managed_cluster(number)}) for number in range(ITEMS)]
    end = {"metadata": {"resourceVersion": "99999", "annotations": {"k8s.io/initial-events-end": "true"}}}
    lines.append(orjson.dumps({"type": "BOOKMARK", "object": end}))
    Canned.stream = _chunked(b"\n".join(lines) + b"\n")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Canned, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def certificate(directory: Path) -> bytes:
    """A serving certificate for 127.0.0.1, and the CA to trust it by."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "server.pem").write_bytes(pem + private)
    return pem


async def requests(client: Client, call: Callable[[], Awaitable[object]], count: int, in_flight: int) -> float:
    """CPU microseconds of each of ``count`` requests, with so many under way at a time."""
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            await call()

    await call()
    started = process_time()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return (process_time() - started) / count * 1e6


async def cold_cache(client: Client) -> tuple[float, float, float]:
    """CPU microseconds for each object of an informer's first list; its longest step (ms); bytes for each object."""
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        before = perf_counter()
        while True:
            await asyncio.sleep(0)
            now = perf_counter()
            longest = max(longest, now - before)
            before = now

    informer = Informer(client, ManagedCluster, indexes={"region": lambda one: [one.labels.get("region")]})
    started = process_time()
    following = asyncio.create_task(informer.run())
    await informer.wait_synced()
    cost = (process_time() - started) / ITEMS * 1e6
    following.cancel()
    await asyncio.wait([following])

    beating = asyncio.create_task(beat())
    measured = Informer(client, ManagedCluster)
    following = asyncio.create_task(measured.run())
    await measured.wait_synced()
    beating.cancel()
    following.cancel()
    await asyncio.wait([following, beating])
    return cost, longest * 1000, sum(len(one.data) for one in measured.list()) / ITEMS


def memory() -> float:
    """Bytes that a cached object takes, all told."""
    data = orjson.dumps(managed_cluster(7))
    ref = ref_of(ManagedCluster)
    tracemalloc.start()
    kept = [Snapshot(bytes(bytearray(data)), ref, ManagedCluster) for _ in range(1000)]
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return used / len(kept)


async def reconciles(count: int) -> float:
    """CPU microseconds for each key through queue and controller."""
    done = 0

    async def reconcile(key: ObjectKey) -> None:
        nonlocal done
        done += 1

    controller: Controller[ObjectKey] = Controller("bench", reconcile, queue=WorkQueue())
    running = asyncio.create_task(controller.run())
    started = process_time()
    for number in range(count):
        controller.add(ObjectKey("ns", f"n{number}"))
    while done < count:  # noqa: ASYNC110
        await asyncio.sleep(0)
    cost = (process_time() - started) / count * 1e6
    controller.stop()
    await running
    return cost


async def measure(directory: Path) -> dict[str, float]:
    ca = certificate(directory)
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        "--serve",
        str(directory),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdout is not None
    assert server.stdin is not None
    port = int(await server.stdout.readline())
    figures: dict[str, float] = {}
    async with Client(ClientConfig(server=f"https://127.0.0.1:{port}", ca_data=ca)) as client:
        ref = ref_of(ManagedCluster)
        figures["get, typed, 16 in flight (us)"] = await requests(
            client, lambda: client.get(ManagedCluster, "cluster1"), 8000, 16
        )
        figures["get, typed, one at a time (us)"] = await requests(
            client, lambda: client.get(ManagedCluster, "cluster1"), 2000, 1
        )
        figures["get, dict, 16 in flight (us)"] = await requests(client, lambda: client.get(ref, "cluster1"), 8000, 16)
        figures["merge patch, 16 in flight (us)"] = await requests(
            client, lambda: client.patch(ref, "cluster1", {"metadata": {"labels": {"a": "b"}}}), 8000, 16
        )
        cost, longest, size = await cold_cache(client)
        figures["informer's first list, an object (us)"] = cost
        figures["informer's first list, longest step (ms)"] = longest
        figures["object as JSON (bytes)"] = size
    figures["object in a cache (bytes)"] = memory()
    figures["key through a controller (us)"] = await reconciles(50_000)
    server.stdin.close()
    await server.wait()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--serve", metavar="DIR", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(Path(options.serve)))
        return
    with tempfile.TemporaryDirectory() as directory:
        figures = asyncio.run(measure(Path(directory)))
    if options.json:
        print(json.dumps({name: round(value, 1) for name, value in figures.items()}))
        return
    for name, value in figures.items():
        print(f"{name:<45}{value:>12,.1f}")


if __name__ == "__main__":
    main()
