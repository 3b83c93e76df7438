"""``merope delete work``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from merope.api.work.v1 import ManifestWork
from merope.cli.access import Access, gone, tell_each
from merope.cli.refusal import Refused
from merope.kube import Client, NotFound

_NO_FINALIZERS: Final = {"metadata": {"finalizers": None}}


def delete_work(access: Access, name: str, clusters: Sequence[str], *, force: bool) -> None:
    """Delete a work from each of ``clusters`` and wait until it is gone.

    ``force``: without the agent, which then no longer removes what it has applied.
    """

    async def run() -> None:
        async with access.hub() as client:
            await tell_each(clusters, lambda cluster: _delete(client, access, name, cluster, force))

    asyncio.run(run())


async def _delete(client: Client, access: Access, name: str, cluster: str, force: bool) -> str:
    try:
        found = await client.fetch(ManifestWork, name, cluster)
        at_once = await client.delete(ManifestWork, name, cluster, uid=found.uid, dry_run=access.dry_run)
        if access.dry_run:
            return f"work {name} in cluster {cluster} is deleted"
        if force and not at_once:
            await client.patch(ManifestWork, name, _NO_FINALIZERS, namespace=cluster)
    except NotFound:
        if force:
            return f"work {name} is deleted"
        raise Refused(f"work {name} not found or is already deleted in cluster {cluster}") from None
    try:
        async with asyncio.timeout(access.timeout):
            await gone(client, ManifestWork, name, cluster, uid=found.uid)
    except TimeoutError:
        raise Refused(
            f"delete work {name} timeout, failed to delete: in cluster {cluster} it still waits for the agent "
            "(deletion goes on; merope get works shows the cluster's works)"
        ) from None
    return f"work {name} in cluster {cluster} is deleted"
