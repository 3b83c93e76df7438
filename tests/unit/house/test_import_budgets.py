"""What a process may load just by importing its composition root.

The agent runs on every managed cluster, so each module that it loads is paid for thousands of times: no scheduler
arithmetic, no command-line decoration, no embedded control plane.
"""

import importlib.util
import json
import subprocess
import sys

import pytest

DECORATION = {"typer", "click", "rich", "pygments"}
SERVER_ONLY = {"jsonschema_rs", "merope.controlplane"}

BUDGETS = {
    "merope.api": DECORATION | SERVER_ONLY | {"numpy", "aiohttp", "cryptography", "yaml", "merope.kube"},
    "merope.lang": DECORATION | SERVER_ONLY | {"numpy", "aiohttp", "cryptography", "merope.kube"},
    "merope.kube": DECORATION | SERVER_ONLY | {"numpy"},
    "merope.klusterlet": DECORATION | SERVER_ONLY | {"numpy", "merope.placement", "merope.fleet", "merope.cli"},
    "merope.hub": DECORATION | SERVER_ONLY | {"merope.fleet", "merope.cli"},
    "merope.controlplane.process": DECORATION | {"numpy", "merope.kube", "merope.fleet", "merope.cli"},
    # A supervised `merope agent run` comes through here, so the command line decorates on demand.
    "merope.cli.main": DECORATION
    | SERVER_ONLY
    | {"numpy", "aiohttp", "merope.hub", "merope.klusterlet", "merope.fleet"},
}


def loaded_by(module: str) -> set[str]:
    """Every module that a new interpreter has after importing this one."""
    code = f"import json, sys, {module}; print(json.dumps(list(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
    return set(json.loads(answer.stdout))


def exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("module", BUDGETS)
def test_importing_a_room_stays_within_its_budget(module: str) -> None:
    if not exists(module):
        pytest.skip(f"{module} is not there yet")

    over = loaded_by(module) & BUDGETS[module]

    assert not over, f"importing {module} loads {', '.join(sorted(over))}"
