"""What the registry does with the body of a POST and of a PUT, without a server: decode, default, prepare, validate."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

from merope.controlplane.errors import FieldError
from merope.controlplane.registry import typed
from merope.controlplane.resource import GroupResource, Request, Resource, UserInfo
from merope.controlplane.scheme.catalogue import load

Object = dict[str, Any]


class Store:
    """The part of the store that strategies look at."""

    def __init__(self) -> None:
        self.objects: list[Object] = []
        self.callbacks: list[Any] = []

    def list(self, storage: GroupResource) -> list[Any]:
        return [SimpleNamespace(parsed=lambda obj=obj: obj) for obj in self.objects]

    def subscribe(self, callback: Any, storage: GroupResource | None = None) -> Any:
        self.callbacks.append(callback)
        return lambda: None

    def add(self, obj: Object) -> None:
        """Make an object visible."""
        self.objects.append(obj)
        entry = SimpleNamespace(parsed=lambda: obj)
        for callback in self.callbacks:
            callback(SimpleNamespace(type="ADDED", entry=entry, previous=None))


class Server:
    """Stands for a server."""

    def __init__(self) -> None:
        self.catalogue = load()
        self.store = Store()

    def now(self) -> str:
        return "2001-01-01T00:00:00Z"


def resource(plural: str, group: str = "", version: str = "v1") -> Resource:
    return load().resources[group, version, plural]


def request(of: Resource, verb: str = "create", subresource: str = "") -> Request:
    return Request(UserInfo("alice"), verb, of, namespace="ns" if of.namespaced else "", subresource=subresource)


def create(of: Resource, body: Object, server: Any = None) -> tuple[Object, list[FieldError]]:
    """The object that a POST makes, and the complaints about it."""
    server = server or Server()
    obj: Object = {"apiVersion": of.api_version, "kind": of.kind, "metadata": {}, **copy.deepcopy(body)}
    typed.decode(of.node, obj, of.kind)
    obj.setdefault("metadata", {})
    asked = request(of)
    of.strategy.default(server, asked, obj)
    obj["metadata"]["uid"] = "00000000-0000-0000-0000-000000000001"
    if of.namespaced:
        obj["metadata"]["namespace"] = "ns"
    of.strategy.prepare_create(server, asked, obj)
    return obj, of.strategy.validate(server, asked, obj, None)


def update(
    of: Resource, body: Object, old: Object, server: Any = None, subresource: str = ""
) -> tuple[Object, list[FieldError]]:
    """The object that a PUT makes of ``old``, and the complaints about it."""
    server = server or Server()
    obj: Object = {"apiVersion": of.api_version, "kind": of.kind, **copy.deepcopy(body)}
    typed.decode(of.node, obj, of.kind)
    obj["metadata"] = {**copy.deepcopy(old["metadata"]), **obj.get("metadata", {})}
    asked = request(of, "update", subresource)
    of.strategy.default(server, asked, obj)
    of.strategy.prepare_update(server, asked, obj, old)
    return obj, of.strategy.validate(server, asked, obj, old)
