"""How the commands of an administrator reach the hub: as kubectl would, and only if it is one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from merope.cli.refusal import Refused
from merope.kube import ApiError, Client, ClientConfig, Expired, Kind, KubeError, NoMatch, NotFound

Result = TypeVar("Result")
_CLUSTERS: Final = ("cluster.open-cluster-management.io", "v1", "managedclusters")


@dataclass(frozen=True, slots=True)
class Access:
    """Where the hub is, and whether to change anything there.

    ``timeout``: seconds that all waiting of the command may take together.
    """

    kubeconfig: str | None = None
    context: str | None = None
    dry_run: bool = False
    timeout: float = 300.0

    @asynccontextmanager
    async def hub(self) -> AsyncIterator[Client]:
        """A client of the hub. Raises Refused where the cluster is none, and ``kube.KubeError``."""
        if self.dry_run:
            print("merope is running in dry-run mode", file=sys.stderr)
        config = ClientConfig.load(self.kubeconfig, self.context)
        async with Client(config, user_agent="merope", field_manager="merope", on_warning=warn) as client:
            await _check_hub(client)
            yield client


def warn(text: str) -> None:
    """Print a notice where it disturbs no reader of the output."""
    print(f"Warning: {text}", file=sys.stderr)


async def _check_hub(client: Client) -> None:
    try:
        await client.mapper.by_plural(*_CLUSTERS)
    except (NoMatch, NotFound):
        raise Refused(
            "hub oriented command should not running against non-hub cluster: "
            f"{client.config.server} does not serve ManagedClusters (choose the hub with --context or --kubeconfig)"
        ) from None
    except ApiError as error:
        raise Refused(f"failed to list GroupVersion {_CLUSTERS[0]}/{_CLUSTERS[1]}: {error}") from None


async def each(names: Sequence[str], act: Callable[[str], Awaitable[Result]]) -> list[Result]:
    """Do ``act`` for all names at once; the results in their order.

    One that fails doesn't stop the others. Raises Refused that tells all failures.
    """
    return _results(await _outcomes(names, act))


async def tell_each(names: Sequence[str], act: Callable[[str], Awaitable[str]]) -> None:
    """As ``each``, where results are sentences: those that there are get printed, in order."""
    outcomes = await _outcomes(names, act)
    for outcome in outcomes:
        if not isinstance(outcome, Refused | KubeError) and outcome:
            print(outcome)
    _results(outcomes)


async def _outcomes(
    names: Sequence[str], act: Callable[[str], Awaitable[Result]]
) -> list[Result | Refused | KubeError]:
    async def one(name: str) -> Result | Refused | KubeError:
        try:
            return await act(name)
        except (Refused, KubeError) as error:
            return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(name)) for name in names]
    return [task.result() for task in tasks]


def _results(outcomes: Sequence[Result | Refused | KubeError]) -> list[Result]:
    results = [outcome for outcome in outcomes if not isinstance(outcome, Refused | KubeError)]
    problems = [str(outcome) for outcome in outcomes if isinstance(outcome, Refused | KubeError)]
    if problems:
        raise Refused.of(problems)
    return results


async def together(*awaitables: Coroutine[Any, Any, Result]) -> list[Result]:
    """Await all at once; their results in order. Raises what the first that failed raised, and cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in awaitables]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def gone(client: Client, kind: Kind, name: str, namespace: str | None = None, *, uid: str) -> None:
    """Wait until the object with this uid is no more. Raises ``kube.KubeError``; give it a timeout."""
    selector = f"metadata.name={name}"
    while True:
        try:
            found = await client.fetch(kind, name, namespace)
        except NotFound:
            return
        if found.uid != uid:
            return
        watched: Any = client.watch(kind, namespace, field_selector=selector, resource_version=found.resource_version)
        try:
            async with aclosing(watched) as events:
                async for event in events:
                    if event.type == "DELETED":
                        return
        except Expired:
            continue
