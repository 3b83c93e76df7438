"""``merope up``."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from pathlib import Path

from merope.fleet.bringup import Outcome, bring_up
from merope.fleet.layout import Layout, check_platform


class Steps:
    """Shows the steps of a longer command: on a terminal with the time that each took, else one line each."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._began = time.monotonic()

    def __call__(self, step: str) -> None:
        passed = time.monotonic() - self._began
        prefix = f"\x1b[2m{passed:5.1f}s\x1b[0m " if self._terminal else f"{passed:5.1f}s "
        with contextlib.suppress(BrokenPipeError):  # whoever listens may have enough; the fleet comes up all the same
            print(prefix + step, file=sys.stderr, flush=True)


def up(name: str, clusters: int | None, timeout: float) -> None:
    """Bring a fleet up and say what can be done with it."""
    check_platform()
    layout = Layout(name)
    try:
        outcome = bring_up(layout, clusters, timeout, Steps())
    except KeyboardInterrupt:
        merope = _program()
        print(
            f"\ninterrupted: what is started goes on; finish with {merope} up{layout.option}, "
            f"or stop it with {merope} down{layout.option}",
            file=sys.stderr,
        )
        raise
    _tell(layout, outcome)


def _example(name: str) -> str:
    """Where an example lies: beside the installed package's modules, or in the checkout that runs."""
    import merope

    package = Path(merope.__file__).parent
    found = next(
        (place / name for place in (package / "examples", package.parents[1] / "examples") if (place / name).exists()),
        Path("examples") / name,
    )
    return _from_here(found)


def _program() -> str:
    """How this command is typed here: by name where that is on the PATH, else as it was started."""
    if shutil.which("merope"):
        return "merope"
    started = Path(sys.argv[0]).absolute()
    return _from_here(started) if started.name == "merope" else f"{_from_here(Path(sys.executable))} -m merope"


def _from_here(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _tell(layout: Layout, outcome: Outcome) -> None:
    fleet = outcome.fleet
    managed = ", ".join(fleet.cluster_names[:3]) + (", ..." if fleet.clusters > 3 else "") or "no clusters yet"
    named = layout.option
    count = "1 managed cluster" if fleet.clusters == 1 else f"{fleet.clusters} managed clusters"
    print(f"The hub and {count} ({managed}) are ready after {outcome.seconds:.1f} s.\n")
    print("Try:")
    merope = _program()
    print(f'  export KUBECONFIG="$({merope} kubeconfig{named})"')
    print("  kubectl --context hub get managedclusters")
    if fleet.clusters:
        print(f"  kubectl --context hub apply -f {_example('hello-work.yaml')}")
        print("  kubectl --context hub -n cluster1 get manifestworks")
        print("  kubectl --context cluster1 -n hello get configmaps")
    print(f"  {merope} status{named}")
    print(f"  {merope} down{named}")
    if shutil.which("kubectl") is None:
        print("\nThere is no kubectl on the PATH; get one from https://kubernetes.io/docs/tasks/tools/")
