"""``merope accept``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from merope.cli import output
from merope.kube import Client, ClientConfig, KubeError, NotFound
from merope.registration.acceptance import approve_requests, let_in

_LOOK_SECONDS: Final = 0.5


def accept(clusters: Sequence[str], kubeconfig: str | None, context: str | None, wait: float) -> None:
    """Accept each cluster; what cannot be accepted is told at the end, in one error."""
    names = [name for argument in clusters for name in argument.split(",") if name]
    failed = asyncio.run(_accept_all(names, ClientConfig.load(kubeconfig, context), wait))
    for problem in failed:
        output.error(problem)
    if failed:
        raise SystemExit(1)


async def _accept_all(names: Sequence[str], config: ClientConfig, wait: float) -> list[str]:
    deadline = time.monotonic() + wait
    async with Client(config, user_agent="merope", field_manager="merope") as client:
        problems = [await _accept(client, name, deadline) for name in names]
    return [problem for problem in problems if problem]


async def _accept(client: Client, name: str, deadline: float) -> str:
    while True:
        try:
            changed = await let_in(client, name)
            approved = await approve_requests(client, name)
        except NotFound:
            problem = f"there is no ManagedCluster {name!r}: its agent has not asked to join yet"
        except KubeError as error:
            return f"{name}: {error}"
        else:
            if approved or not changed:
                print(f"Your managed cluster {name} has joined the Hub successfully")
                return ""
            problem = f"no csr is approved yet for cluster {name}"
        if time.monotonic() >= deadline:
            return problem
        await asyncio.sleep(_LOOK_SECONDS)
