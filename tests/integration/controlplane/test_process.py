"""``merope controlplane run`` as a process: ports, identities, signals, crashes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from cryptography import x509

from merope.controlplane.persistence import Durability
from merope.controlplane.pki import Pki, load_credential
from merope.controlplane.process import Options, Process, ProcessError, ServerSpec

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


class ControlPlane:
    """The command in a child process. ``urls`` and ``kubeconfigs`` by server, from the lines that it prints."""

    def __init__(self, state: Path, *arguments: str) -> None:
        self.state = state
        reading, writing = os.pipe()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "merope.controlplane"),
                *(f"--state={state}", f"--ready-fd={writing}"),
                *arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[writing],
        )
        os.close(writing)
        with open(reading) as ready:
            self.notified = ready.read()
        self.urls: dict[str, str] = {}
        self.kubeconfigs: dict[str, Path] = {}
        for line in self.notified.splitlines():
            name, url, kubeconfig = line.split(" ", 2)
            self.urls[name] = url
            self.kubeconfigs[name] = Path(kubeconfig)

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float, str, str]:
        """Exit code, seconds that it took, standard output and error."""
        begin = time.monotonic()
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, time.monotonic() - begin, out, err


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    running: list[ControlPlane] = []

    def begin(*arguments: str) -> ControlPlane:
        running.append(ControlPlane(tmp_path / "state", *arguments))
        return running[-1]

    yield begin
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def admin(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    """The server's URL and a TLS context with the administrator's certificate."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with tempfile.NamedTemporaryFile() as pem:
        pem.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        pem.flush()
        context.load_cert_chain(pem.name)
    return cluster["server"], context


def session(kubeconfig: Path) -> aiohttp.ClientSession:
    url, context = admin(kubeconfig)
    return aiohttp.ClientSession(
        url, connector=aiohttp.TCPConnector(ssl=context), timeout=aiohttp.ClientTimeout(total=30)
    )


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}}


async def test_each_server_of_a_process_is_one_of_its_own(start: Any) -> None:
    plane = start("--server=hub", "--server=c1", "--durability=relaxed")

    assert list(plane.urls) == ["hub", "c1"]
    async with session(plane.kubeconfigs["hub"]) as hub, session(plane.kubeconfigs["c1"]) as c1:
        async with hub.post(CONFIG_MAPS, json=config_map("here")) as response:
            assert response.status == 201
        async with hub.get(f"{CONFIG_MAPS}/here") as response:
            assert response.status == 200
        async with c1.get(f"{CONFIG_MAPS}/here") as response:
            assert response.status == 404
    # The administrator of one is a stranger to the other.
    _, context = admin(plane.kubeconfigs["hub"])
    with pytest.raises(aiohttp.ClientError):
        async with aiohttp.request("GET", plane.urls["c1"] + "/version", ssl=context):
            pass

    code, seconds, out, _ = plane.end()
    assert code == 0
    assert seconds < 2
    assert out == plane.notified


async def test_a_stop_ends_watches_as_if_their_time_were_up(start: Any) -> None:
    plane = start("--server=hub", "--durability=memory")
    async with session(plane.kubeconfigs["hub"]) as hub:
        watches = [await hub.get(CONFIG_MAPS, params={"watch": "1", "resourceVersion": "0"}) for _ in range(20)]
        async with hub.post(CONFIG_MAPS, json=config_map("a")) as response:
            assert response.status == 201

        code, seconds, _, errors = await asyncio.to_thread(plane.end)

        for watch in watches:
            # Reading to the end raises nothing: the last chunk was sent.
            events = [json.loads(line) for line in (await watch.read()).splitlines()]
            assert events[-1]["object"]["metadata"]["name"] == "a"
            assert "ERROR" not in {event["type"] for event in events}
    assert code == 0, errors
    assert seconds < 2
    assert "Traceback" not in errors


async def write_until_killed(plane: ControlPlane, prefix: str, acknowledged: dict[str, int], count: int) -> None:
    """Create ConfigMaps from four writers; the process is killed when ``count`` are acknowledged."""
    before = max(acknowledged.values(), default=0)

    async def write(client: aiohttp.ClientSession, first: int) -> None:
        for number in range(first, 10_000, 4):
            name = f"{prefix}-{number}"
            try:
                async with client.post(CONFIG_MAPS, json=config_map(name)) as response:
                    assert response.status == 201
                    version = int((await response.json())["metadata"]["resourceVersion"])
            except aiohttp.ClientError:
                return
            assert version > before
            acknowledged[name] = version
            if len(acknowledged) == count:
                plane.process.kill()

    async with session(plane.kubeconfigs["hub"]) as client:
        await asyncio.gather(*(write(client, first) for first in range(4)))
    plane.process.communicate()


async def test_what_was_acknowledged_survives_a_kill_and_no_version_comes_twice(start: Any) -> None:
    acknowledged: dict[str, int] = {}
    for life in range(3):
        await write_until_killed(start("--server=hub"), f"life-{life}", acknowledged, 20 * (life + 1))

    async with session(start("--server=hub").kubeconfigs["hub"]) as client, client.get(CONFIG_MAPS) as response:
        items = (await response.json())["items"]
    found = {item["metadata"]["name"]: int(item["metadata"]["resourceVersion"]) for item in items}

    assert len(acknowledged) >= 60
    assert len(set(acknowledged.values())) == len(acknowledged)
    assert acknowledged.items() <= found.items()


def test_a_server_keeps_the_port_that_it_chose(start: Any) -> None:
    first = start("--server=hub", "--durability=memory")
    url = first.urls["hub"]
    first.end()

    again = start("--server=hub", "--durability=memory")

    assert again.urls["hub"] == url
    assert yaml.safe_load(again.kubeconfigs["hub"].read_text())["clusters"][0]["cluster"]["server"] == url


def test_a_taken_port_is_an_error_not_another_port(start: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        plane = start(f"--server=hub:{port}")
        out, err = plane.process.communicate(timeout=30)

    assert plane.process.returncode == 1
    assert plane.notified == out == ""
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("mode", ["durable", "memory"])
def test_a_second_process_on_the_same_state_is_refused(start: Any, mode: str) -> None:
    first = start("--server=hub", f"--durability={mode}")

    second = start("--server=hub", f"--durability={mode}")
    _, err = second.process.communicate(timeout=30)

    assert second.process.returncode == 1
    assert f"is in use by another process (pid {first.process.pid})" in err
    assert "Traceback" not in err
    assert first.process.poll() is None


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--server=No_Name"], "'No_Name' is no server name"),
        (["--server=hub:x"], "'x' is no port"),
        (["--server=hub", "--server=hub:1234"], "named twice"),
        (["--server=hub", "--bind=localhost"], "'localhost' does not appear to be an IPv4 or IPv6 address"),
        (["--server=hub", "--token-auth-file=/nonexistent"], "No such file"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(start: Any, arguments: list[str], complaint: str) -> None:
    plane = start(*arguments)
    _, err = plane.process.communicate(timeout=30)

    assert plane.process.returncode == 1
    assert complaint in err
    assert len(err.splitlines()) == 1


def test_state_of_a_newer_release_is_refused_in_one_line(start: Any) -> None:
    first = start("--server=hub")
    first.end()
    (first.state / "hub" / "server.json").write_text('{"format": 99, "port": 1}')

    again = start("--server=hub")
    _, err = again.process.communicate(timeout=30)

    assert again.process.returncode == 1
    assert "has state format 99, but this release knows formats up to 1: use a newer release" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("server.json", "{", "server.json cannot be read"),
        ("server.json", "[]", "server.json is no JSON object"),
        ("pki/ca.crt", "x", "pki cannot be read"),
        ("pki/sa.key", "", "pki cannot be read"),
        ("store.db", "", "store.db is empty, although this server has run before"),
    ],
)
def test_broken_state_is_told_in_one_line(start: Any, file: str, content: str, complaint: str) -> None:
    first = start("--server=hub")
    first.end()
    (first.state / "hub" / file).write_text(content)

    again = start("--server=hub")
    _, err = again.process.communicate(timeout=30)

    assert again.process.returncode == 1
    assert complaint in err
    assert len(err.splitlines()) == 1


async def test_static_tokens_authenticate(start: Any, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text('secret-token,root,1,"system:masters"\n')
    plane = start("--server=hub", "--durability=memory", f"--token-auth-file={tokens}")
    context = ssl.create_default_context(cafile=str(plane.state / "hub" / "pki" / "ca.crt"))

    statuses = []
    for headers in ({"Authorization": "Bearer secret-token"}, {"Authorization": "Bearer wrong"}, {}):
        async with aiohttp.request("GET", plane.urls["hub"] + CONFIG_MAPS, headers=headers, ssl=context) as response:
            statuses.append(response.status)

    assert statuses == [200, 401, 403]


async def test_a_server_can_be_reached_under_names_that_were_asked_for(start: Any) -> None:
    plane = start("--server=hub", "--durability=memory", "--bind=0.0.0.0", "--tls-san=hub.example.com")
    context = ssl.create_default_context(cafile=str(plane.state / "hub" / "pki" / "ca.crt"))
    port = int(plane.urls["hub"].rpartition(":")[2])

    for host, accepted in (("hub.example.com", True), ("localhost", True), ("other.example.com", False)):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
            writer.close()
            assert accepted, host
        except ssl.SSLCertVerificationError:
            assert not accepted, host


def test_a_process_raises_its_limit_of_open_files_as_far_as_it_may() -> None:
    code = """
import resource
from merope.controlplane.process import raise_descriptor_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 900))
print(raise_descriptor_limit(), resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "900 (900, 900)\n"


def test_a_stop_in_the_middle_of_the_start_is_clean(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "merope.controlplane", f"--state={tmp_path}", *(f"--server=s{n}" for n in range(8))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 30
        while not (tmp_path / "s0" / "store.db").exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        process.terminate()
        _, err = process.communicate(timeout=30)

    assert process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in err


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Process]:
    async with Process(Options(tmp_path, [ServerSpec("hub")], Durability.MEMORY)) as process:
        yield process


async def test_a_process_runs_inside_another(plane: Process) -> None:
    hub = plane.instances["hub"]

    async with session(hub.kubeconfig) as client, client.get("/version") as response:
        assert response.status == 200
    assert hub.server.ready
    assert (hub.directory / "admin.kubeconfig").stat().st_mode & 0o777 == 0o600
    assert hub.directory.stat().st_mode & 0o777 == 0o700


async def test_a_failed_handshake_harms_no_other_connection(plane: Process) -> None:
    hub = plane.instances["hub"]
    foreign = ssl.create_default_context(cafile=str(hub.directory / "pki" / "ca.crt"))
    load_credential(foreign, Pki().admin)
    async with session(hub.kubeconfig) as client:
        async with client.get("/version") as response:
            assert response.status == 200
        for _ in range(3):
            with pytest.raises(aiohttp.ClientError):
                async with aiohttp.request("GET", f"{hub.url}/version", ssl=foreign):
                    pass
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        async with client.get("/version") as response:
            assert response.status == 200


async def test_new_connections_get_a_renewed_certificate(plane: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = plane.instances["hub"]

    def serial() -> int:
        pem = ssl.get_server_certificate(("127.0.0.1", hub.port))
        return x509.load_pem_x509_certificate(pem.encode()).serial_number

    before = await asyncio.to_thread(serial)
    hub.renew_certificates()
    assert await asyncio.to_thread(serial) == before

    monkeypatch.setattr("merope.controlplane.pki.needs_renewal", lambda certificate, now: True)
    old = hub.kubeconfig.read_bytes()
    hub.renew_certificates()

    assert await asyncio.to_thread(serial) != before
    assert hub.kubeconfig.read_bytes() != old
    async with session(hub.kubeconfig) as client, client.get("/version") as response:
        assert response.status == 200


async def test_when_one_server_cannot_start_none_stays(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        specs = [ServerSpec("a"), ServerSpec("b", taken.getsockname()[1])]
        process = Process(Options(tmp_path, specs, Durability.RELAXED))
        with pytest.raises(ProcessError, match="b: cannot listen"):
            await process.start()
    port = process.instances["a"].port

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    # The state is free again.
    async with Process(Options(tmp_path, [ServerSpec("a"), ServerSpec("b")], Durability.RELAXED)) as again:
        assert again.instances["a"].port == port
