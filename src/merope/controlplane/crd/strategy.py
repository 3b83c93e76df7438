"""What is particular to custom resources: their kind is data.

A body is coerced (metadata typed, nulls and unknown fields dropped), completed with defaults, and judged by the
schema, by the scale's paths, and by the schema's CEL rules.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from merope.controlplane.crd import embedded, structural
from merope.controlplane.crd.rules import check_rules
from merope.controlplane.crd.scale import ScalePaths
from merope.controlplane.crd.schemas import CompiledSchema
from merope.controlplane.crd.values import same
from merope.controlplane.errors import FieldError, forbidden
from merope.controlplane.registry import metadata as meta
from merope.controlplane.resource import Object, Request, Strategy, restore

if TYPE_CHECKING:
    from merope.controlplane.crd.resources import Served
    from merope.controlplane.server import Server


class CustomStrategy(Strategy):
    """The strategy of one served version."""

    unconditional_update = False
    tracks_generation = True

    def __init__(self, served: Served, schema: CompiledSchema, scale: ScalePaths | None, *, has_status: bool) -> None:
        self._served = served
        self._schema = schema
        self._has_status = has_status
        self._scale = scale

    @property
    def scale_paths(self) -> tuple[str, str, str]:
        """Where an object's wanted replicas, actual replicas and selector are, as dotted paths."""
        assert self._scale is not None
        scale = self._scale
        return ".".join(scale.spec_replicas), ".".join(scale.status_replicas), ".".join(scale.label_selector)

    @property
    def converts_remotely(self) -> bool:
        """Whether ``convert`` gives awaitables: a webhook is asked."""
        return self._served.converts_remotely

    # --- shape ---------------------------------------------------------------------------------------------------

    def coerce(self, request: Request | None, obj: Object, *, keep_nulls: bool = False) -> list[str]:
        """Bring a body into the shape of the kind, in place; gives the paths of the fields that were dropped.

        ``keep_nulls``: after server-side apply, where a null is a value that its manager owns, and may be wrong.
        Raises typed.TypeMismatch where metadata, here or in an embedded resource, is not metadata.
        """
        schema = self._schema
        unknown = [f"metadata.{path}" for path in embedded.decode_metadata(schema.object_meta, obj["metadata"])]
        inside = embedded.coerce(schema.full, schema.object_meta, obj)
        unknown += (structural.prune if keep_nulls else structural.clean)(schema.full, obj)
        return unknown + inside

    def default(self, server: Server, request: Request, obj: Object) -> None:
        structural.default(self._schema.full, obj)

    def convert(self, obj: Object, api_version: str) -> Object | Awaitable[Object]:
        """``obj`` in another version; an awaitable where a webhook has to be asked."""
        return self._served.convert(obj, api_version)

    async def convert_all(self, objects: Sequence[Object], api_version: str) -> list[Object]:
        """``convert`` for many objects of other versions at once."""
        return await self._served.convert_all(objects, api_version)

    # --- writes --------------------------------------------------------------------------------------------------

    def prepare_update(self, server: Server, request: Request, obj: Object, old: Object) -> None:
        if not request.subresource:
            if self._has_status:
                restore(obj, old, "status")
        elif request.subresource == "status":
            _keep_all_but_status(obj, old)

    def reset_paths(self, subresource: str) -> tuple[tuple[str, ...], ...]:
        if subresource == "status":
            return (("spec",), ("metadata",))
        return (("status",),) if self._has_status and not subresource else ()

    def spec_changed(self, obj: Object, old: Object) -> bool:
        ignored = ("metadata", "status") if self._has_status else ("metadata",)
        keys = (obj.keys() | old.keys()).difference(ignored)
        return any(key not in obj or key not in old or not same(obj[key], old[key]) for key in keys)

    async def authorize_write(self, server: Server, request: Request, obj: Object, old: Object | None) -> None:
        if old is None and self._served.terminating:
            resource = request.resource
            raise forbidden(
                resource.group,
                resource.plural,
                request.name,
                "create not allowed while custom resource definition is terminating",
            )

    def validate(self, server: Server, request: Request, obj: Object, old: Object | None) -> list[FieldError]:
        schema = self._schema
        if request.subresource == "status":
            errors = self._validate_status(obj, old)
        else:
            errors = structural.validate(schema.declared, obj, old)
        errors += embedded.validate(schema.full, obj)
        if self._scale is not None:
            errors += self._scale.validate(obj)
        return errors + check_rules(schema, obj, old, errors, request.warn)

    def _validate_status(self, obj: Object, old: Object | None) -> list[FieldError]:
        """The schema's opinion of a status written apart: complaints name places within the status."""
        node = self._schema.declared.child("status")
        if node is None or "status" not in obj:
            return []
        return structural.validate(node, obj["status"], (old or {}).get("status"), "status")

    def warnings(self, server: Server, request: Request, obj: Object, old: Object | None) -> list[str]:
        return meta.finalizer_warnings(obj["metadata"])


class DefaultingStrategy(CustomStrategy):
    """For the storage version of a kind whose schema changed since it was defined, and has defaults.

    Objects may have been stored before a default was declared; it shows on them all the same.
    """

    def read(self, obj: Object) -> bool:
        """Complete a stored object in place; tells whether something was missing."""
        return self._served.complete(obj)


def _keep_all_but_status(obj: Object, old: Object) -> None:
    """A write of the status leaves everything else as it is, but for who owns what."""
    managed = obj["metadata"].get("managedFields")
    metadata = dict(old["metadata"])
    if managed is not None:
        metadata["managedFields"] = managed
    status = obj.get("status")
    had = "status" in obj
    obj.clear()
    obj.update(old)
    obj["metadata"] = metadata
    if had:
        obj["status"] = status
    else:
        obj.pop("status", None)
