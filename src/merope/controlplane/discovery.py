"""Discovery: which groups, versions and resources this server serves, in the old form and in the aggregated one.

Documents are made when they are asked for and kept until the set of resources changes; a client that has the current
one (ETag) gets none.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson
from multidict import CIMultiDict

from merope.controlplane.errors import not_acceptable, unknown_path
from merope.controlplane.http.message import JSON, HttpRequest, HttpResponse
from merope.controlplane.http.negotiation import YAML, clauses
from merope.controlplane.resource import GroupVersionKind, Object, Resource, Subresource

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_GROUP: Final = "apidiscovery.k8s.io"
_AGGREGATED: Final = f"{JSON};g={_GROUP};v=v2;as=APIGroupDiscoveryList"
_ACCEPTED: Final = f"{JSON}, {YAML}, application/vnd.kubernetes.protobuf"
_VERSION: Final = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_STAGES: Final = {None: 2, "beta": 1, "alpha": 0}


def version_order(version: str) -> tuple[Any, ...]:
    """A sort key by which v2 comes before v1, v1 before v1beta1, and names that are no versions last."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (1, version)
    return (0, -_STAGES[match[2]], -int(match[1]), -int(match[3] or 0))


class Discovery:
    """The discovery documents of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._generation = -1
        self._groups: dict[str, dict[str, list[Resource]]] = {}
        self._documents: dict[str, tuple[bytes, str]] = {}

    def respond(self, request: HttpRequest, segments: list[str]) -> HttpResponse:
        """Answer for ``/api``, ``/api/v1``, ``/apis``, ``/apis/{group}`` and ``/apis/{group}/{version}``."""
        self._refresh()
        root = segments[0]
        if len(segments) == 1:
            if self._wants_aggregated(request.headers.get("Accept", "")):
                return self._answer(request, f"aggregated {root}", _AGGREGATED)
            return self._answer(request, root, JSON)
        if root == "api":
            group, version = "", segments[1]
        else:
            group = segments[1]
            if group not in self._groups or not group:
                raise unknown_path()
            if len(segments) == 2:
                self._wants_aggregated(request.headers.get("Accept", ""), offered=False)
                return self._answer(request, f"group {group}", JSON)
            version = segments[2]
        if version not in self._groups.get(group, {}):
            raise unknown_path()
        self._wants_aggregated(request.headers.get("Accept", ""), offered=False)
        return self._answer(request, f"resources {group}/{version}", JSON)

    @staticmethod
    def _wants_aggregated(accept: str, *, offered: bool = True) -> bool:
        """Whether the first clause that can be served asks for the aggregated form; 406 where none can be served."""
        if not accept.strip():
            return False
        for clause in clauses(accept):
            if clause.media not in (JSON, YAML, "*/*", "application/*"):
                continue
            params = clause.params
            if not params.get("as"):
                return False
            if (
                offered
                and (params.get("g"), params.get("v"), params["as"]) == (_GROUP, "v2", "APIGroupDiscoveryList")
                and clause.media == JSON
            ):
                return True
        raise not_acceptable(f"only the following media types are accepted: {_ACCEPTED}")

    def _answer(self, request: HttpRequest, name: str, content_type: str) -> HttpResponse:
        body, etag = self._document(name)
        headers = CIMultiDict({"Content-Type": content_type, "Vary": "Accept"})
        if name.startswith("aggregated "):
            headers["ETag"] = etag
            if request.headers.get("If-None-Match", "") == etag:
                del headers["Content-Type"]
                return HttpResponse(304, headers, b"")
        return HttpResponse(200, headers, body)

    def _document(self, name: str) -> tuple[bytes, str]:
        found = self._documents.get(name)
        if found is None:
            body = orjson.dumps(self._build(name))
            etag = '"' + hashlib.sha512(body).hexdigest().upper() + '"'
            found = self._documents[name] = (body, etag)
        return found

    def _refresh(self) -> None:
        """Group the resources anew where they have changed."""
        if self._generation == self._server.resources_generation:
            return
        self._generation = self._server.resources_generation
        self._documents = {}
        found: dict[str, dict[str, list[Resource]]] = {}
        for resource in self._server.all_resources():
            found.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
        priority = self._server.catalogue.priority

        def group_order(group: str) -> tuple[int, str]:
            return (-max(priority(group, version)[0] for version in found[group]), group)

        self._groups = {
            group: {
                version: found[group][version]
                for version in sorted(
                    found[group],
                    key=lambda v, g=group: (-priority(g, v)[1], *version_order(v)),  # type: ignore[misc]
                )
            }
            for group in sorted(found, key=group_order)
        }

    def _build(self, name: str) -> Object:
        kind, _, rest = name.partition(" ")
        if name == "api":
            return {
                "kind": "APIVersions",
                "versions": list(self._groups.get("", {})),
                "serverAddressByClientCIDRs": [
                    {"clientCIDR": "0.0.0.0/0", "serverAddress": self._server.url.partition("://")[2]}
                ],
            }
        if name == "apis":
            groups = [_group(group, versions) for group, versions in self._groups.items() if group]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        if kind == "group":
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(rest, self._groups[rest])}
        if kind == "resources":
            group, _, version = rest.rpartition("/")
            return _resource_list(group, version, self._groups[group][version])
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"{_GROUP}/v2",
            "metadata": {},
            "items": [
                _aggregated_group(group, versions)
                for group, versions in self._groups.items()
                if (rest == "api") == (group == "")
            ],
        }


def _group(name: str, versions: Iterable[str]) -> Object:
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def _resource_list(group: str, version: str, resources: Iterable[Resource]) -> Object:
    entries: list[Object] = []
    for resource in sorted(resources, key=lambda r: r.plural):
        entry: Object = {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": _verbs(resource),
        }
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        if resource.categories:
            entry["categories"] = list(resource.categories)
        if "list" in resource.verbs:
            entry["storageVersionHash"] = _storage_version_hash(resource)
        entries.append(entry)
        for sub in sorted(resource.subresources.values(), key=lambda s: s.name):
            entry = {
                "name": f"{resource.plural}/{sub.name}",
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": sub.kind.kind,
                "verbs": sorted(sub.verbs),
            }
            if (sub.kind.group, sub.kind.version) != (group, version):
                entry["group"] = sub.kind.group
                entry["version"] = sub.kind.version
            entries.append(entry)
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": entries,
    }


def _verbs(resource: Resource) -> list[str]:
    """The verbs in the order of the reference: by name for built-in kinds, as they come for custom ones."""
    return sorted(resource.verbs) if resource.builtin else list(resource.verbs)


#: Storage versions that the reference names in discovery although it serves and stores others.
_SAID_TO_BE_STORED: Final = {("apiextensions.k8s.io", "CustomResourceDefinition"): "v1beta1"}


def _storage_version_hash(resource: Resource) -> str:
    """Tells clients which version is stored without telling it, as the reference computes it."""
    version = _SAID_TO_BE_STORED.get((resource.group, resource.kind), resource.storage_version)
    stored = f"{resource.storage.group}/{version}/{resource.kind}"
    return base64.b64encode(hashlib.sha256(stored.encode()).digest()[:8]).decode()


def _kind(gvk: GroupVersionKind) -> Object:
    return {"group": gvk.group, "version": gvk.version, "kind": gvk.kind}


def _response_kind(gvk: GroupVersionKind, resource: Resource) -> Object:
    """The type of answers; built-in resources leave out the group version that they are in, as the reference does."""
    if resource.builtin and (gvk.group, gvk.version) == (resource.group, resource.version):
        return {"group": "", "version": "", "kind": gvk.kind}
    return _kind(gvk)


def _aggregated_group(group: str, versions: Mapping[str, Iterable[Resource]]) -> Object:
    return {
        "metadata": {"name": group} if group else {},
        "versions": [
            {
                "version": version,
                "resources": [_aggregated(r) for r in sorted(resources, key=lambda r: r.plural)],
                "freshness": "Current",
            }
            for version, resources in versions.items()
        ],
    }


def _aggregated(resource: Resource) -> Object:
    entry: Object = {
        "resource": resource.plural,
        "responseKind": _response_kind(resource.gvk, resource),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": _verbs(resource),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            _aggregated_subresource(sub, resource)
            for sub in sorted(resource.subresources.values(), key=lambda s: s.name)
        ]
    return entry


def _aggregated_subresource(sub: Subresource, resource: Resource) -> Object:
    entry: Object = {
        "subresource": sub.name,
        "responseKind": _response_kind(sub.kind, resource),
        "verbs": sorted(sub.verbs),
    }
    if sub.accepts:
        entry["acceptedTypes"] = [_kind(kind) for kind in sub.accepts]
    return entry
