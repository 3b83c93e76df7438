"""What a whole fleet costs while nothing happens: CPU and memory of every process, and of a further cluster.

Run as ``python bench/idle.py [--clusters N] [--seconds N] [--json]`` on Linux. CPU is in percent of one core over the
given time, once the fleet has become quiet; memory is PSS (what the processes share is counted once), in MB of 10^6.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from up import merope

TICKS = os.sysconf("SC_CLK_TCK")


def processes(home: Path) -> dict[str, int]:
    """Pids of a fleet by name."""
    state = json.loads((home / "fleets" / "default" / "supervisor.json").read_text())
    return {"supervisor": state["pid"], **{each["name"]: each["pid"] for each in state["processes"] if each["pid"]}}


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def pss(pid: int) -> float:
    """MB that a process keeps in memory, its part of what it shares included."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found.group(1)) * 1024 / 1e6


def await_quiet(pids: dict[str, int]) -> None:
    """Wait until a fleet uses under a tenth of a core, for a minute at most."""
    for _ in range(12):
        before = sum(cpu(pid) for pid in pids.values())
        time.sleep(5)
        if sum(cpu(pid) for pid in pids.values()) - before < 0.5:
            return


def measure(clusters: int, seconds: float) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        try:
            merope(home, "up", "--clusters", str(clusters))
            pids = processes(home)
            await_quiet(pids)
            before = {name: cpu(pid) for name, pid in pids.items()}
            began = time.monotonic()
            time.sleep(seconds)
            passed = time.monotonic() - began
            figures = {
                name: {"cpu": 100 * (cpu(pid) - before[name]) / passed, "pss": pss(pid)} for name, pid in pids.items()
            }
            figures["all"] = {kind: sum(each[kind] for each in figures.values()) for kind in ("cpu", "pss")}
            more = clusters + 2
            merope(home, "up", "--clusters", str(more))
            pids = processes(home)
            await_quiet(pids)
            figures["a further cluster"] = {
                "cpu": 0.0,
                "pss": (sum(pss(pid) for pid in pids.values()) - figures["all"]["pss"]) / (more - clusters),
            }
            return figures
        finally:
            merope(home, "down", "--purge")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clusters", type=int, default=2, help="managed clusters (default: 2)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to watch (default: 60)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        sys.exit("bench/idle.py needs Linux")
    figures = measure(options.clusters, options.seconds)
    if options.json:
        flat = {f"{name}, {kind}": round(value, 2) for name, each in figures.items() for kind, value in each.items()}
        del flat["a further cluster, cpu"]
        print(json.dumps({"clusters": options.clusters, "seconds": options.seconds, **flat}))
        return
    print(f"hub and {options.clusters} managed clusters, idle for {options.seconds:g} s\n")
    print(f"{'':<20}{'CPU, % of a core':>18}{'PSS, MB':>10}")
    for name, each in figures.items():
        shown = "" if name == "a further cluster" else f"{each['cpu']:.2f}"
        print(f"{name:<20}{shown:>18}{each['pss']:>10.1f}")


if __name__ == "__main__":
    main()
