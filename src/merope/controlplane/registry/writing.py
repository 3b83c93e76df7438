"""Create, update and patch: everything between a decoded body and the store.

A write is: shape (drop, check, default), owned fields, mutating admission, the kind's own preparation, validation,
validating admission, commit. Nothing is held while admission waits for webhooks; the commit checks that the object is
still the one that was read, and the whole write is done again on the fresh one where it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from merope.controlplane import fieldmanager
from merope.controlplane.entry import Entry
from merope.controlplane.errors import (
    ApiError,
    already_exists,
    bad_request,
    conflict,
    invalid,
    invalid_value,
    not_found,
)
from merope.controlplane.registry import metadata as meta
from merope.controlplane.registry import patching, shaping, typed
from merope.controlplane.registry.views import stored_api_version
from merope.controlplane.resource import GroupVersionKind, Object, Request, Resource
from merope.controlplane.store import Conflict
from merope.lang.schema import Node

if TYPE_CHECKING:
    from merope.controlplane.server import Server

Convert = Callable[[Mapping[str, Any], str], tuple[Node, Mapping[str, Any]] | None]

_GENERATE_ATTEMPTS: Final = 8
_RETRIES: Final = 32
_SORTED: Final = orjson.OPT_SORT_KEYS


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a write: the stored entry, or only the object where nothing was stored."""

    entry: Entry | None
    obj: Object | None = None
    created: bool = False


class Writer:
    """The write half of the registry."""

    def __init__(self, server: Server) -> None:
        self._server = server

    # --- create --------------------------------------------------------------------------------------------------

    async def create(self, request: Request, obj: Object, duplicates: Sequence[str] = ()) -> Written:
        """Create the object in the body of a POST."""
        shaping.shape_body(self._server, request, obj, duplicates)
        return await self._create(request, obj)

    async def _create(self, request: Request, obj: Object, *, owned: bool = False) -> Written:
        """Create a shaped object; ``owned``: its managedFields are already those it shall have."""
        resource = request.resource
        metadata = meta.metadata_of(obj)
        if metadata.get("resourceVersion"):
            if not request.name:
                raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
            metadata.pop("resourceVersion")
        self._check_namespace(request, metadata)
        meta.wipe_for_create(metadata)
        for warning in meta.drop_duplicate_owners(metadata):
            request.warn(warning)
        if not owned:
            self.own(request, None, obj)
        request.name = metadata.get("name") or request.name
        obj = await self._admit(request, "CREATE", obj, None)
        metadata = meta.metadata_of(obj)
        if metadata.get("name") or not metadata.get("generateName"):
            return await self._create_named(request, obj)
        prefix = metadata["generateName"]
        for attempt in range(_GENERATE_ATTEMPTS):
            candidate = orjson.loads(orjson.dumps(obj))
            candidate["metadata"]["name"] = meta.generated_name(prefix)
            try:
                return await self._create_named(request, candidate)
            except ApiError as error:
                if error.reason != "AlreadyExists" or attempt == _GENERATE_ATTEMPTS - 1:
                    raise self._unlucky(resource, candidate, error) from None
        raise AssertionError("unreachable")

    @staticmethod
    def _unlucky(resource: Resource, candidate: Object, error: ApiError) -> ApiError:
        if error.reason != "AlreadyExists":
            return error
        base = already_exists(resource.group, resource.plural, candidate["metadata"]["name"])
        message = f"{base.message}, the server was not able to generate a unique name for the object"
        return ApiError(409, "AlreadyExists", message, {**(base.details or {}), "retryAfterSeconds": 1})

    async def _create_named(self, request: Request, obj: Object) -> Written:
        server, resource, strategy = self._server, request.resource, request.resource.strategy
        metadata = meta.metadata_of(obj)
        if resource.namespaced:
            metadata["namespace"] = request.namespace
        else:
            metadata.pop("namespace", None)
        metadata["uid"] = meta.new_uid()
        metadata["creationTimestamp"] = server.now()
        strategy.prepare_create(server, request, obj)
        if strategy.tracks_generation:
            metadata["generation"] = 1
        name = metadata.get("name") or ""
        request.name = name
        await strategy.authorize_write(server, request, obj, None)
        complaints = meta.validate(
            metadata, namespaced=resource.namespaced, rule=strategy.name_rule, builtin=resource.builtin
        )
        complaints += strategy.validate(server, request, obj, None)
        if complaints:
            raise invalid(resource.group, resource.kind, name, complaints)
        self._warn(request, obj, None)
        await server.admission.validate(request, "CREATE", obj, None)
        stored = meta.canonical(await server.views.to_storage(resource, obj))
        if request.options.dry_run:
            if server.store.head(resource.storage, request.namespace, name) is not None:
                raise already_exists(resource.group, resource.plural, name)
            shown = meta.canonical(await server.views.convert(resource, stored, resource.api_version))
            del shown["metadata"]["resourceVersion"]
            return Written(None, shown, True)
        server.admission.check_namespace(request, "CREATE")
        try:
            entry = await server.store.put(resource.storage, request.namespace, name, stored, None)
        except Conflict:
            raise already_exists(resource.group, resource.plural, name) from None
        return Written(entry, created=True)

    @staticmethod
    def _check_namespace(request: Request, metadata: dict[str, Any]) -> None:
        if not request.resource.namespaced:
            metadata.pop("namespace", None)
            return
        given = metadata.get("namespace") or ""
        if given and given != request.namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        metadata["namespace"] = request.namespace

    # --- update --------------------------------------------------------------------------------------------------

    async def update(self, request: Request, obj: Object, duplicates: Sequence[str] = ()) -> Written:
        """Replace an object by the body of a PUT."""
        shaping.shape_body(self._server, request, obj, duplicates)
        metadata = meta.metadata_of(obj)
        self._check_identity(request, metadata)
        resource = request.resource
        encoded: bytes | None = None
        for _ in range(_RETRIES):
            entry = self._server.store.head(resource.storage, request.namespace, request.name)
            if entry is None:
                return await self._create_by_update(request, obj)
            live = await self._server.views.fresh(resource, entry)
            self._check_uid(request, metadata.get("uid") or "", entry.uid)
            self._check_version(request, metadata.get("resourceVersion") or "", entry)
            if encoded is None:
                encoded = orjson.dumps(obj)
                candidate = obj
            else:
                candidate = orjson.loads(encoded)
            try:
                return await self._finish(request, entry, live, candidate)
            except Conflict:
                continue
        raise conflict(resource.group, resource.plural, request.name)

    async def _create_by_update(self, request: Request, obj: Object) -> Written:
        resource = request.resource
        if not resource.strategy.create_on_update or request.subresource:
            raise not_found(resource.group, resource.plural, request.name)
        self._check_uid(request, obj["metadata"].get("uid") or "", "")
        await self._server.authorize_create(request)
        try:
            return await self._create(request, obj)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                raise conflict(resource.group, resource.plural, request.name) from None
            raise

    @staticmethod
    def _check_identity(request: Request, metadata: dict[str, Any]) -> None:
        name = metadata.get("name") or ""
        if not name:
            raise bad_request(
                f"the name of the object ({request.name} based on URL) was undeterminable: name must be provided"
            )
        if name != request.name:
            raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({request.name})")
        Writer._check_namespace(request, metadata)

    @staticmethod
    def _check_uid(request: Request, given: str, found: str) -> None:
        if not given or given == found:
            return
        resource = request.resource
        group = "" if resource.builtin else f"{resource.group}/"
        place = f"{request.namespace}/{request.name}" if resource.namespaced else request.name
        cause = (
            f"StorageError: invalid object, Code: 4, Key: /registry/{group}{resource.plural}/{place}, "
            f"ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {given}, "
            f"UID in object meta: {found}"
        )
        raise conflict(resource.group, resource.plural, request.name, cause)

    @staticmethod
    def _check_version(request: Request, given: str, entry: Entry) -> None:
        resource = request.resource
        if given:
            if given != str(entry.rv):
                raise conflict(resource.group, resource.plural, request.name)
        elif not resource.strategy.unconditional_update:
            raise invalid(
                resource.group,
                resource.plural if not resource.builtin else resource.kind,
                request.name,
                [invalid_value("metadata.resourceVersion", 0, "must be specified for an update")],
            )

    # --- patch ---------------------------------------------------------------------------------------------------

    async def patch(self, request: Request, patch: patching.Patch) -> Written:
        """Patch an object; an apply patch creates it where it is missing."""
        if patch.is_apply:
            return await self._apply(request, patch)
        server, resource = self._server, request.resource
        fixed = patch.fixes_version()
        for _ in range(_RETRIES):
            entry = server.store.head(resource.storage, request.namespace, request.name)
            if entry is None:
                raise not_found(resource.group, resource.plural, request.name)
            live = await server.views.fresh(resource, entry)
            new = patching.apply(patch, await server.views.fresh(resource, entry), resource.node)
            self._shape_patched(request, patch, new)
            metadata = meta.metadata_of(new)
            self._check_identity(request, metadata)
            self._check_version(request, metadata.get("resourceVersion") or "", entry)
            try:
                return await self._finish(request, entry, live, new)
            except Conflict:
                if fixed:
                    break
        raise conflict(resource.group, resource.plural, request.name)

    def _shape_patched(self, request: Request, patch: patching.Patch, new: Object) -> None:
        resource = request.resource
        if new.get("apiVersion") != resource.api_version or new.get("kind") != resource.kind:
            gvk = f"{new.get('apiVersion')}, Kind={new.get('kind')}"
            raise patching.undecodable(
                patch, new, f"the patched object is of another type: {gvk}", builtin=resource.builtin
            )
        # Shaping works in place, and a complaint shows what there was before.
        before = orjson.dumps(new)
        try:
            complaints = shaping.shape(request, new)
        except typed.TypeMismatch as error:
            raise patching.undecodable(patch, orjson.loads(before), str(error), builtin=resource.builtin) from None
        if complaints or patch.duplicates:
            patching.check_complaints(request, patch, orjson.loads(before), complaints)
        shaping.complete(self._server, request, new)

    async def _apply(self, request: Request, patch: patching.Patch) -> Written:
        patching.check_configuration(request, patch.value)
        return await self.apply_to_parent(request, patch)

    async def apply_to_parent(self, request: Request, patch: patching.Patch) -> Written:
        """Apply a configuration of the resource itself, also where the request is for one of its subresources."""
        server, resource, strategy = self._server, request.resource, request.resource.strategy
        catalogue = server.catalogue
        config: Object = patch.value
        metadata = config.get("metadata") or {}
        name = metadata.get("name") or ""
        if name != request.name:
            self._check_identity(request, {"name": name})
        given = metadata.get("namespace") or ""
        if resource.namespaced and given and given != request.namespace:
            self._check_namespace(request, {"namespace": given})
        for _ in range(_RETRIES):
            entry = server.store.head(resource.storage, request.namespace, request.name)
            if entry is None and request.subresource:
                raise not_found(resource.group, resource.plural, request.name)
            if entry is None and metadata.get("uid"):
                raise conflict(
                    resource.group,
                    resource.plural,
                    request.name,
                    f"uid mismatch: the provided object specified uid {metadata['uid']}, and no existing object was "
                    "found",
                )
            live = await server.views.fresh(resource, entry) if entry is not None else None
            if entry is not None and metadata.get("resourceVersion"):
                self._check_version(request, str(metadata["resourceVersion"]), entry)
            merged = fieldmanager.apply(
                resource.node,
                live,
                config,
                manager=request.options.field_manager,
                api_version=resource.api_version,
                subresource=request.subresource,
                force=bool(request.options.force),
                reset=strategy.reset_paths(request.subresource),
                now=server.now(),
                kind=resource.gvk,
                convert=self._converter(resource),
                blank=catalogue.shapes.zero(resource.schema_name) if resource.builtin else None,
            )
            merged = orjson.loads(orjson.dumps(merged))
            # Nobody owns the identity of an object, so it may have gone with what its manager applied before.
            identity = meta.metadata_of(merged)
            identity["name"] = request.name
            if resource.namespaced:
                identity["namespace"] = request.namespace
            try:
                shaping.shape(request, merged, keep_nulls=True)
            except typed.TypeMismatch as error:
                raise shaping.cannot_be_handled(resource.gvk, str(error)) from None
            shaping.complete(server, request, merged)
            if entry is None or live is None:
                await server.authorize_create(request)
                try:
                    return await self._create(request, merged, owned=True)
                except ApiError as error:
                    if error.reason != "AlreadyExists":
                        raise
                    continue
            self._check_identity(request, meta.metadata_of(merged))
            try:
                return await self._finish(request, entry, live, merged, owned=True)
            except Conflict:
                continue
        raise conflict(resource.group, resource.plural, request.name)

    # --- what updates and patches have in common -----------------------------------------------------------------

    async def modify(self, request: Request, change: Callable[[Object], Object | None]) -> Written:
        """Change an object by a function from a copy of the live object to the wanted one (None: leave it)."""
        server, resource = self._server, request.resource
        for _ in range(_RETRIES):
            entry = server.store.head(resource.storage, request.namespace, request.name)
            if entry is None:
                raise not_found(resource.group, resource.plural, request.name)
            live = await server.views.fresh(resource, entry)
            new = change(await server.views.fresh(resource, entry))
            if new is None:
                return Written(entry)
            try:
                return await self._finish(request, entry, live, new)
            except Conflict:
                continue
        raise conflict(resource.group, resource.plural, request.name)

    async def _finish(
        self, request: Request, entry: Entry, live: Object, new: Object, *, owned: bool = False
    ) -> Written:
        """From the wanted object to the stored one. Raises store.Conflict where ``entry`` is no longer the head."""
        server, resource, strategy = self._server, request.resource, request.resource.strategy
        old_metadata = live["metadata"]
        metadata = meta.metadata_of(new)
        metadata["resourceVersion"] = str(entry.rv)
        meta.restore_for_update(metadata, old_metadata)
        for warning in meta.drop_duplicate_owners(metadata):
            request.warn(warning)
        if not owned:
            self.own(request, live, new)
        new = await self._admit(request, "UPDATE", new, live)
        metadata = meta.metadata_of(new)
        metadata["resourceVersion"] = str(entry.rv)
        meta.restore_for_update(metadata, old_metadata)
        strategy.prepare_update(server, request, new, live)
        metadata = meta.metadata_of(new)
        if strategy.tracks_generation and request.subresource != "status" and strategy.spec_changed(new, live):
            metadata["generation"] = (old_metadata.get("generation") or 0) + 1
        await strategy.authorize_write(server, request, new, live)
        # Twice, as the reference has it in answers: its registry and its kinds both look.
        complaints = 2 * meta.validate_update(metadata, old_metadata)
        complaints += meta.validate(metadata, namespaced=resource.namespaced, rule="path", builtin=resource.builtin)
        complaints += strategy.validate(server, request, new, live)
        if complaints:
            raise invalid(resource.group, resource.kind, request.name, complaints)
        self._warn(request, new, live)
        await server.admission.validate(request, "UPDATE", new, live)
        if released(resource, new):
            return await self._release(request, entry, new)
        if unchanged(new, live) and self._stored_currently(resource, entry):
            return Written(entry)
        stored = meta.canonical(await server.views.to_storage(resource, new))
        if request.options.dry_run:
            shown = await server.views.convert(resource, stored, resource.api_version)
            return Written(None, meta.canonical(dict(shown)))
        return Written(await server.store.put(resource.storage, request.namespace, request.name, stored, entry))

    @staticmethod
    def _stored_currently(resource: Resource, entry: Entry) -> bool:
        """Whether the stored bytes are of the version that is stored today (else a no-op write migrates them)."""
        return entry.data.startswith(b'{"apiVersion":"%b",' % stored_api_version(resource).encode())

    async def _release(self, request: Request, entry: Entry, new: Object) -> Written:
        """The last finalizer went: the object goes with it, in the same request."""
        server, resource = self._server, request.resource
        if not request.options.dry_run:
            await server.store.delete(resource.storage, request.namespace, request.name, entry)
        return Written(None, meta.canonical(new))

    async def _admit(self, request: Request, operation: Any, obj: Object, old: Object | None) -> Object:
        server = self._server
        result = await server.admission.mutate(request, operation, obj, old)
        if result is None or result is obj:
            return obj
        result.setdefault("metadata", {})
        try:
            shaping.shape(request, result)
        except typed.TypeMismatch as error:
            raise ApiError(500, "", f"admission left an object of the wrong shape: {error}") from None
        shaping.complete(server, request, result)
        for warning in meta.drop_duplicate_owners(result["metadata"]):
            request.warn(warning)
        return result

    def own(
        self, request: Request, live: Object | None, obj: Object, *, subresource: GroupVersionKind | None = None
    ) -> None:
        """Note in ``obj`` which fields its writer set; ``subresource`` is the kind of a body that is another one."""
        resource, catalogue = request.resource, self._server.catalogue
        node, api_version, schema = resource.node, resource.api_version, resource.schema_name
        if subresource is not None:
            node, api_version = catalogue.node(subresource) or node, subresource.api_version
            schema = catalogue.schema_name(subresource)
        before = live
        if before is None and (resource.builtin or subresource is not None):
            # What Kubernetes prints of an object without content was not set by anybody.
            before = catalogue.shapes.zero(schema)
        fieldmanager.update(
            node,
            before,
            obj,
            manager=request.options.field_manager,
            api_version=api_version,
            subresource=request.subresource,
            reset=resource.strategy.reset_paths(request.subresource),
            # Kubernetes notes no time where it carries what a Scale owns over to its parent.
            now=self._server.now() if request.subresource != "scale" else "",
            convert=self._converter(resource),
        )

    def _converter(self, resource: Resource) -> Convert | None:
        """Shows an object in the version in which somebody else's ownership is recorded."""
        if getattr(resource.strategy, "convert", None) is None:
            return None
        server = self._server

        def convert(obj: Mapping[str, Any], api_version: str) -> tuple[Node, Mapping[str, Any]] | None:
            group, _, version = api_version.rpartition("/")
            target = server.lookup(group, version, resource.plural)
            if target is None:
                return None
            shown = server.views.convert_now(resource, dict(obj), api_version)
            return (target.node, shown) if shown is not None else None

        return convert

    def _warn(self, request: Request, obj: Object, old: Object | None) -> None:
        for warning in request.resource.strategy.warnings(self._server, request, obj, old):
            request.warn(warning)


def unchanged(new: Object, live: Object) -> bool:
    """Whether nothing differs but the times of managedFields, which then become those of ``live``."""
    metadata, old = new["metadata"], live["metadata"]
    entries, old_entries = metadata.get("managedFields") or [], old.get("managedFields") or []
    if entries != old_entries:
        if not fieldmanager.equal_ignoring_times(entries, old_entries):
            return False
        metadata["managedFields"] = old_entries
    # Equal in Python is not enough: there True is 1 and 1.0 is 1.
    return new == live and orjson.dumps(new, option=_SORTED) == orjson.dumps(live, option=_SORTED)


def released(resource: Resource, obj: Mapping[str, Any]) -> bool:
    """Whether nothing holds a deleted object any more."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if metadata.get("deletionGracePeriodSeconds"):
        return False
    if resource.storage == ("", "namespaces"):
        return not (obj.get("spec") or {}).get("finalizers")
    return True
