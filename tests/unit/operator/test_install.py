"""Installing objects on a cluster, as far as its errors go."""

from __future__ import annotations

from typing import Any, cast

import pytest

from merope.kube import Client, Forbidden, ResourceRef
from merope.operator import install


class Refusing:
    """A server that refuses everything."""

    def __init__(self) -> None:
        self.mapper = self

    async def ref(self, api_version: str, kind: str) -> ResourceRef:
        return ResourceRef("", "v1", "namespaces", False, kind)

    async def apply(self, ref: ResourceRef, obj: dict[str, Any], **options: Any) -> None:
        raise Forbidden({"code": 403, "message": f"{obj['metadata']['name']} is forbidden"})


async def test_a_refusal_is_raised_as_itself() -> None:
    objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in ("a", "b")]

    with pytest.raises(Forbidden, match="is forbidden"):
        await install(cast(Client, Refusing()), objects)
