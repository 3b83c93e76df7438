"""client-go and controller-runtime, as other people's programs use them, can't tell what serves them.

``tests/goclient`` is a Go module of tests; it is built once for a version of its sources and of Go, into the user's
cache, and each of its tests is run here by name.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fixtures.cluster import Cluster
from merope.api.crds import crds

MODULE = Path(__file__).resolve().parent.parent / "goclient"
TESTS = sorted(
    name
    for source in MODULE.glob("*_test.go")
    for name in re.findall(r"^func (Test\w+)\(t \*testing", source.read_text(), re.M)
)
_OPTIONS = ("-trimpath", "-buildvcs=false", "-mod=readonly", "-tags", "netgo,osusergo", "-ldflags", "-s -w")


@pytest.fixture(scope="session")
def program() -> Path:
    """The compiled tests; skips where there is no Go, or none that is new enough, or where its modules can't be had."""
    if shutil.which("go") is None:
        pytest.skip("Go clients: there is no Go on the PATH")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
    version = subprocess.run(
        ["go", "version"], capture_output=True, text=True, check=True, cwd="/", env=environment
    ).stdout
    digest = hashlib.sha256(version.encode())
    for path in sorted([MODULE / "go.mod", MODULE / "go.sum", *MODULE.glob("*.go")]):
        digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "merope" / "goclient"
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / digest.hexdigest()[:16]
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test workers that start together build once
        if not target.exists():
            building = cache / f".build-{os.getpid()}"
            command = ["go", "test", "-c", *_OPTIONS, "-o", str(building), "."]
            build = subprocess.run(command, capture_output=True, text=True, cwd=MODULE, env=environment)
            if build.returncode != 0:
                refused = re.search(r"go: .*(requires go >=|dial tcp|no such host|Forbidden|proxy).*", build.stderr)
                if refused:
                    pytest.skip(f"Go clients: {refused.group()}")
                pytest.fail(f"go test -c in {MODULE.name}:\n{build.stderr}")
            building.rename(target)
    return target


@pytest.fixture(scope="module")
def hub_with_types(cluster: Cluster) -> Cluster:
    """A cluster that has the definitions of the product's own kinds."""
    for definition in crds():
        cluster.ensure("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    return cluster


@pytest.mark.parametrize("name", TESTS)
def test_go_client(name: str, program: Path, hub_with_types: Cluster) -> None:
    result = subprocess.run(
        [str(program), f"-test.run=^{name}$", "-test.timeout=100s", "-test.v"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(hub_with_types.directory),
            "KUBECONFIG": str(hub_with_types.admin_kubeconfig),
        },
    )

    assert result.returncode == 0, result.stdout[-8000:]
    assert f"--- PASS: {name}" in result.stdout, result.stdout[-8000:]
