"""Custom resources as a server serves them: from stored definitions to resources, kept in step.

``CustomResources`` follows the definitions in the store. What is served changes in the same moment in which a change
of a definition becomes visible, so that whoever saw ``Established`` finds the endpoints. The other half, the writer
of the definitions' status, is ``lifecycle``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from merope.controlplane.crd import structural
from merope.controlplane.crd.conversion import Converter
from merope.controlplane.crd.lifecycle import Lifecycle
from merope.controlplane.crd.naming import ESTABLISHED, TERMINATING, is_true
from merope.controlplane.crd.scale import ScalePaths
from merope.controlplane.crd.schemas import CompiledSchema, cache_of
from merope.controlplane.crd.strategy import CustomStrategy, DefaultingStrategy
from merope.controlplane.entry import Change, Entry
from merope.controlplane.resource import GroupResource, GroupVersionKind, Object, Resource, Subresource
from merope.controlplane.webhookclient import WebhookClient

if TYPE_CHECKING:
    from merope.controlplane.server import Server

DEFINITIONS: Final = GroupResource("apiextensions.k8s.io", "customresourcedefinitions")
_READS: Final = ("delete", "deletecollection", "get", "list", "watch")
#: In the order of the reference, which is not that of built-in kinds.
_VERBS: Final = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")


class Served:
    """What all served versions of one definition have in common."""

    def __init__(self, definition: Mapping[str, Any], server: Server) -> None:
        spec = definition["spec"]
        cache = cache_of(server.catalogue.graph)
        self.group: str = spec["group"]
        self.storage = GroupResource(self.group, spec["names"]["plural"])
        self.terminating = is_true(definition, TERMINATING) or bool(definition["metadata"].get("deletionTimestamp"))
        #: Objects may be older than the schemas.
        self.changed = (definition["metadata"].get("generation") or 1) > 1
        self.schemas: dict[str, CompiledSchema] = {
            version["name"]: cache.get((version.get("schema") or {}).get("openAPIV3Schema") or {})
            for version in spec["versions"]
        }
        self.storage_version: str = next(version["name"] for version in spec["versions"] if version.get("storage"))
        self._converter = Converter(server, definition, self.schemas)

    @property
    def converts_remotely(self) -> bool:
        """Whether ``convert`` asks a webhook."""
        return self._converter.is_remote

    def convert(self, obj: Object, api_version: str) -> Object | Awaitable[Object]:
        """``obj`` in another version; an awaitable where a webhook has to be asked."""
        return self._converter.convert(obj, api_version)

    async def convert_all(self, objects: Sequence[Object], api_version: str) -> list[Object]:
        """``convert`` for many objects of other versions at once."""
        return await self._converter.convert_all(objects, api_version)

    def complete(self, obj: Object) -> bool:
        """Fill the defaults of its version into a stored object, in place; tells whether one was missing."""
        schema = self.schemas.get(obj["apiVersion"].rpartition("/")[2])
        if schema is None or not schema.has_defaults:
            return False
        structural.default(schema.full, obj)
        return True


class CustomResources:
    """The custom resources of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._resources: dict[tuple[str, str, str], Resource] = {}
        self._by_definition: dict[str, tuple[Resource, ...]] = {}
        self._lifecycle = Lifecycle(server, storage_resource)
        #: How objects are converted where the definition names a webhook.
        self.webhooks = WebhookClient(server.store)
        self._unsubscribe: Callable[[], None] | None = None

    def resources(self) -> Iterable[Resource]:
        """Every custom resource served now."""
        return self._resources.values()

    def lookup(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource at a path."""
        return self._resources.get((group, version, plural))

    async def start(self) -> None:
        """Serve what is stored, and follow changes until ``stop``."""
        store = self._server.store
        self._unsubscribe = store.subscribe(self._on_change, DEFINITIONS)
        for entry in store.list(DEFINITIONS):
            self._serve(entry)
        await self._lifecycle.start()

    async def stop(self) -> None:
        """Follow no longer. Idempotent."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._lifecycle.stop()
        await self.webhooks.close()

    # --- from definitions to resources -----------------------------------------------------------------------------

    def _on_change(self, change: Change) -> None:
        if change.type == "DELETED":
            self._withdraw(change.entry.name)
        elif change.previous is None or _shape(change.previous.parsed()) != _shape(change.entry.parsed()):
            self._serve(change.entry)
        self._lifecycle.enqueue(change.entry.name)

    def _serve(self, entry: Entry) -> None:
        """Put a definition's resources in place of those that it had."""
        definition = entry.parsed()
        before = self._by_definition.get(entry.name, ())
        after = tuple(_resources_of(definition, self._server)) if is_true(definition, ESTABLISHED) else ()
        for resource in before:
            self._resources.pop((resource.group, resource.version, resource.plural), None)
        for resource in after:
            self._resources[resource.group, resource.version, resource.plural] = resource
        if after:
            self._by_definition[entry.name] = after
        else:
            self._by_definition.pop(entry.name, None)
        if not before and not after:
            return
        self._server.resources_changed()
        if before and {r.version for r in before} != {r.version for r in after}:
            self._server.store.end_watches(before[0].storage, "custom resource definition changed")

    def _withdraw(self, name: str) -> None:
        before = self._by_definition.pop(name, ())
        for resource in before:
            self._resources.pop((resource.group, resource.version, resource.plural), None)
        if before:
            self._server.resources_changed()
            self._server.store.end_watches(before[0].storage, "custom resource definition deleted")


def _shape(definition: Mapping[str, Any]) -> tuple[Any, ...]:
    """What of a definition decides on the resources."""
    status = definition.get("status") or {}
    return (
        definition["spec"],
        status.get("acceptedNames"),
        is_true(definition, ESTABLISHED),
        is_true(definition, TERMINATING),
        definition["metadata"].get("generation"),
    )


def _resources_of(definition: Mapping[str, Any], server: Server) -> Iterable[Resource]:
    served = Served(definition, server)
    for version in definition["spec"]["versions"]:
        if version.get("served"):
            yield _resource(definition, version, served)


def storage_resource(definition: Mapping[str, Any], server: Server) -> Resource | None:
    """The resource of the version that objects are stored in, served or not; None if there can't be any objects."""
    if not is_true(definition, ESTABLISHED):
        return None
    served = Served(definition, server)
    return next(
        _resource(definition, version, served)
        for version in definition["spec"]["versions"]
        if version["name"] == served.storage_version
    )


def _resource(definition: Mapping[str, Any], version: Mapping[str, Any], served: Served) -> Resource:
    from merope.controlplane.scheme.tables import columns_from_crd

    spec, names = definition["spec"], definition["status"]["acceptedNames"]
    schema = served.schemas[version["name"]]
    declared = version.get("subresources") or {}
    scale = ScalePaths.of(declared["scale"]) if declared.get("scale") else None
    has_status = declared.get("status") is not None
    stale = served.changed and any(other.has_defaults for other in served.schemas.values())
    strategy = (DefaultingStrategy if stale else CustomStrategy)(served, schema, scale, has_status=has_status)
    kind = GroupVersionKind(served.group, version["name"], names["kind"])
    subresources: dict[str, Subresource] = {}
    verbs = ("get", "patch", "update")
    if has_status:
        subresources["status"] = Subresource("status", kind, verbs)
    if scale is not None:
        subresources["scale"] = Subresource("scale", GroupVersionKind("autoscaling", "v1", "Scale"), verbs)
    return Resource(
        group=served.group,
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        list_kind=names.get("listKind") or names["kind"] + "List",
        singular=names.get("singular") or names["kind"].lower(),
        namespaced=spec["scope"] == "Namespaced",
        verbs=_READS if served.terminating else _VERBS,
        storage=served.storage,
        storage_version=served.storage_version,
        builtin=False,
        strategy=strategy,
        node=schema.full,
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=subresources,
        columns=columns_from_crd(version),
        selectable=_selectable(version.get("selectableFields") or ()),
        deprecation_warning=_deprecation(version, kind),
    )


def _deprecation(version: Mapping[str, Any], kind: GroupVersionKind) -> str:
    if not version.get("deprecated"):
        return ""
    return version.get("deprecationWarning") or f"{kind.api_version} {kind.kind} is deprecated"


def _selectable(declared: Iterable[Mapping[str, Any]]) -> dict[str, Callable[[Object], str]]:
    return {path: _reader(path) for path in (one["jsonPath"].removeprefix(".") for one in declared)}


def _reader(path: str) -> Callable[[Object], str]:
    from merope.lang.jsonpath import compile_jsonpath

    expression = compile_jsonpath("{." + path + "}")

    def read(obj: Object) -> str:
        found = expression.find(obj)
        if not found:
            return ""
        value = found[0]
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value) if value is not None else ""

    return read
