"""Bringing a cluster to a wanted state: apply objects in order, wait for definitions to be served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from merope.kube import Client, NotFound, ResourceRef
from merope.operator.objects import Manifest

FIELD_MANAGER: Final = "merope-operator"
_CRDS: Final = ResourceRef(
    group="apiextensions.k8s.io",
    version="v1",
    plural="customresourcedefinitions",
    namespaced=False,
    kind="CustomResourceDefinition",
)
_AT_ONCE: Final = 8


class NotEstablished(Exception):
    """A definition that the API server did not begin to serve in time; the text names it and why."""


async def install(
    client: Client,
    objects: Sequence[Manifest],
    *,
    seconds: float = 30.0,
    progress: Callable[[Manifest], None] = lambda manifest: None,
) -> None:
    """Apply ``objects``; idempotent, and takes over fields from whoever set them.

    Definitions come first and are waited for (``seconds``), namespaces next, then everything else at once. Raises
    ``kube.KubeError`` of the first object that is refused, and NotEstablished.
    """
    definitions = [obj for obj in objects if obj["kind"] == "CustomResourceDefinition"]
    namespaces = [obj for obj in objects if obj["kind"] == "Namespace"]
    rest = [obj for obj in objects if obj["kind"] not in ("CustomResourceDefinition", "Namespace")]
    for step in (definitions, namespaces, rest):
        await _apply_all(client, step, progress)
    await _await_established(client, [obj["metadata"]["name"] for obj in definitions], seconds)


async def _apply_all(client: Client, objects: Sequence[Manifest], progress: Callable[[Manifest], None]) -> None:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def apply(obj: Manifest) -> None:
        async with limit:
            ref = await client.mapper.ref(obj["apiVersion"], obj["kind"])
            await client.apply(ref, obj, field_manager=FIELD_MANAGER, force=True)
        progress(obj)

    try:
        async with asyncio.TaskGroup() as group:
            for obj in objects:
                group.create_task(apply(obj))
    except BaseExceptionGroup as refused:
        raise _first(refused) from None


async def _await_established(client: Client, names: Sequence[str], seconds: float) -> None:
    missing = set(names)
    try:
        async with asyncio.timeout(seconds):
            for definition in await client.list(_CRDS):
                _note(definition, missing)
            if not missing:
                return
            while missing:  # a server may end a watch at any time
                async for event in client.watch(_CRDS):
                    if event.object is not None:
                        _note(event.object.raw, missing)
                    if not missing:
                        return
    except TimeoutError:
        raise NotEstablished(f"not established after {seconds:g} s: {', '.join(sorted(missing))}") from None
    except NotFound as error:
        raise NotEstablished(str(error)) from error


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _note(definition: Manifest, missing: set[str]) -> None:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    if any(each.get("type") == "Established" and each.get("status") == "True" for each in conditions):
        missing.discard(definition["metadata"]["name"])
