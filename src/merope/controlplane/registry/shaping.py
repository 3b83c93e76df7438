"""From a decoded body to an object of its kind: fields that don't exist dropped, types checked, defaults filled in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merope.controlplane.errors import ApiError, bad_request
from merope.controlplane.registry import typed
from merope.controlplane.resource import GroupVersionKind, Object, Request
from merope.lang.schema import Node

if TYPE_CHECKING:
    from merope.controlplane.server import Server


def cannot_be_handled(gvk: GroupVersionKind, cause: str) -> ApiError:
    """400 for a body that is not of its kind."""
    return bad_request(f'{gvk.kind} in version "{gvk.version}" cannot be handled as a {gvk.kind}: {cause}')


def shape(
    request: Request,
    obj: Object,
    *,
    node: Node | None = None,
    gvk: GroupVersionKind | None = None,
    keep_nulls: bool = False,
) -> list[str]:
    """Bring ``obj`` into the shape of its kind, in place; returns complaints about fields that it does not have.

    ``node`` and ``gvk`` are given for bodies of subresources; ``keep_nulls`` for custom resources after an apply, to
    which a null is a value. Raises typed.TypeMismatch.
    """
    resource = request.resource
    metadata = obj.get("metadata")
    if metadata is None:
        obj["metadata"] = {}
    if node is not None or resource.builtin:
        kind = (gvk or resource.gvk).kind
        unknown = typed.decode(node or resource.node, obj, kind)
        obj.setdefault("metadata", {})
    else:
        unknown = resource.strategy.coerce(request, obj, keep_nulls=keep_nulls)  # type: ignore[attr-defined]
    return [f'unknown field "{path}"' for path in unknown]


def shape_body(
    server: Server,
    request: Request,
    obj: Object,
    duplicates: Sequence[str] = (),
    *,
    node: Node | None = None,
    gvk: GroupVersionKind | None = None,
) -> None:
    """``shape`` for the body of a POST or PUT, with the complaints handled as the client asked, then defaults."""
    kind = gvk or request.resource.gvk
    try:
        complaints = [*duplicates, *shape(request, obj, node=node, gvk=gvk)]
    except typed.TypeMismatch as error:
        raise cannot_be_handled(kind, str(error)) from None
    if complaints and request.options.field_validation != "Ignore":
        if request.options.field_validation == "Strict":
            raise cannot_be_handled(kind, f"strict decoding error: {', '.join(complaints)}")
        for complaint in complaints:
            request.warn(complaint)
    if node is None:
        complete(server, request, obj)
    elif kind is not None:
        server.catalogue.shapes.normalize(node.ref, obj)


def complete(server: Server, request: Request, obj: Object) -> None:
    """Fill in the kind's defaults, and bring built-in kinds into the form in which Kubernetes prints them."""
    resource = request.resource
    resets = obj["metadata"].get("managedFields") == []
    resource.strategy.default(server, request, obj)
    if resource.builtin:
        server.catalogue.shapes.normalize(resource.schema_name, obj)
    if resets:
        # Unlike other empty lists this one says something: forget who owns what.
        obj["metadata"]["managedFields"] = []
