"""The built wheel, installed in an empty environment outside the checkout, is all that a fleet needs."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fixtures.conditions import wait_until

from .conftest import ROOT, Fleet, FleetFactory

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def run(*command: str | Path, directory: Path) -> str:
    """Run a command as somebody who has never heard of the checkout; what it printed."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    answer = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, f"{command}: {answer.stdout}{answer.stderr}"
    return answer.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    run(*PIP, "wheel", "--quiet", "--no-deps", "--wheel-dir", directory, ROOT, directory=directory)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the wheel and its dependencies, in the versions of the lock file."""
    directory = tmp_path_factory.mktemp("installed")
    locked = re.findall(r"^(\S+==.+) \\$", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE)
    constraints = directory / "constraints.txt"
    constraints.write_text("\n".join(locked) + "\n")
    venv = directory / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, directory=directory)
    run(*PIP, "--python", venv, "install", "--quiet", "--no-compile", "-c", constraints, wheel, directory=directory)
    return directory


def test_the_wheel_holds_the_package_and_the_examples_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert {name.partition("/")[0] for name in names} == {"merope", wheel.name.rsplit("-", 3)[0] + ".dist-info"}
    assert "merope/examples/hello-work.yaml" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_it_brings_up_a_fleet_and_applies_its_example(
    environment: Path, fleets: FleetFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(environment)
    fleet: Fleet = fleets("installed", command=(str(environment / "venv" / "bin" / "merope"),))

    shown = fleet.merope("up", "--clusters", "1").stdout

    processes = (fleet.root / "processes.json").read_text()
    assert str(environment / "venv") in processes
    assert str(ROOT) not in processes
    example = re.search(r"apply -f (\S+)", shown)
    assert example is not None
    assert Path(example.group(1)).resolve().is_relative_to(environment)
    fleet.kubectl("hub", "apply", "-f", example.group(1))
    wait_until(
        lambda: fleet.api("cluster1").find("/api/v1/namespaces/hello/configmaps/hello"), "the work arrives", timeout=60
    )
