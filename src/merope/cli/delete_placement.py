"""``merope delete placement``."""

from __future__ import annotations

import asyncio

from merope.api.cluster.v1beta1 import Placement
from merope.cli.access import Access
from merope.cli.refusal import Refused
from merope.kube import NotFound


def delete_placement(access: Access, name: str, namespace: str) -> None:
    """Delete a placement; its decisions go with it."""

    async def run() -> None:
        async with access.hub() as client:
            try:
                await client.delete(Placement, name, namespace, dry_run=access.dry_run)
            except NotFound:
                raise Refused(f"placement {name} not found in namespace {namespace} or is already deleted") from None
        print(f"Placement '{name}' of '{namespace}' namespace is deleted")

    asyncio.run(run())
