"""How long `merope up` takes to all clusters available: new, after `down`, where all runs; and a first applied work.

Run as ``python bench/up.py [--clusters N] [--repeat N] [--json]``. Figures are seconds by the clock on the wall, the
median of some runs; each run has a state directory of its own. Byte code is cached before, as in any second start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from merope.kube import Client, ClientConfig, ResourceRef

EXAMPLE = Path(__file__).parents[1] / "examples" / "hello-work.yaml"
WORK = ResourceRef(
    group="work.open-cluster-management.io", version="v1", plural="manifestworks", namespaced=True, kind="ManifestWork"
)


def merope(home: Path, *arguments: str) -> float:
    """Run a command; seconds that it took."""
    environment = {**os.environ, "MEROPE_HOME": str(home)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.monotonic()
    answer = subprocess.run(
        [sys.executable, "-m", "merope", *arguments], env=environment, capture_output=True, text=True
    )
    if answer.returncode:
        sys.exit(f"merope {' '.join(arguments)}: {answer.stderr}")
    return time.monotonic() - began


async def first_work(home: Path) -> float:
    """Seconds from creating the example's work to its Available condition with all its feedback."""
    config = ClientConfig.load(home / "fleets" / "default" / "kubeconfig")
    work = yaml.safe_load(EXAMPLE.read_text())
    async with Client(config) as client:
        began = time.monotonic()
        await client.create(WORK, work)
        async for event in client.watch(WORK, "cluster1", field_selector="metadata.name=hello"):
            if event.object is not None and is_complete(event.object.raw):
                return time.monotonic() - began
    raise RuntimeError("the watch ended")


def is_complete(work: dict) -> bool:
    status = work.get("status") or {}
    available = any(each["type"] == "Available" and each["status"] == "True" for each in status.get("conditions") or ())
    manifests = (status.get("resourceStatus") or {}).get("manifests") or ()
    return available and any((each.get("statusFeedback") or {}).get("values") for each in manifests)


def measure(clusters: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        try:
            figures["up, new fleet"] = merope(home, "up", "--clusters", str(clusters))
            figures["first work: applied, status and feedback back"] = asyncio.run(first_work(home))
            figures["up, where all runs"] = merope(home, "up")
            figures["down"] = merope(home, "down")
            figures["up, after down"] = merope(home, "up")
            figures["status"] = merope(home, "status")
        finally:
            merope(home, "down", "--purge")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clusters", type=int, default=2, help="managed clusters (default: 2)")
    parser.add_argument("--repeat", type=int, default=3, help="runs, of which the median is taken (default: 3)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    measure(options.clusters)  # the first one compiles
    runs = [measure(options.clusters) for _ in range(options.repeat)]
    figures = {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}
    if options.json:
        print(json.dumps({"clusters": options.clusters, **{f"{name} (s)": value for name, value in figures.items()}}))
        return
    print(f"hub and {options.clusters} managed clusters, median of {options.repeat} runs, seconds\n")
    for name, value in figures.items():
        print(f"{name:<48}{value:>8.2f}")


if __name__ == "__main__":
    main()
