"""Paths below an object that are more than a part of it: scale, eviction, binding, logs; and kinds that are only asked.

``status``, ``approval``, ``finalize`` and the like are ordinary updates whose strategy knows the endpoint; they are
not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from merope.controlplane.errors import (
    ApiError,
    bad_request,
    conflict,
    internal,
    invalid,
    invalid_value,
    not_found,
    required,
)
from merope.controlplane.registry import DeleteOptions, Patch, Written, patching, shaping
from merope.controlplane.resource import GroupResource, GroupVersionKind, Handler, Object, Request, Resource
from merope.lang import selectors

if TYPE_CHECKING:
    from merope.controlplane.server import Server

SCALE: Final = "scale"
_SCALE_VERSION: Final = "autoscaling/v1"
_REFUSED: Final = frozenset({"exec", "attach", "portforward", "proxy"})


def handler(resource: Resource, subresource: str) -> Handler | None:
    """Who answers a POST that stores nothing: reviews, tokens, eviction, binding."""
    found = resource.strategy.handlers.get(subresource)
    if found is not None:
        return found
    if subresource:
        return _SUBRESOURCES.get((resource.group, resource.plural, subresource))
    from merope.controlplane import reviews

    return reviews.HANDLERS.get((resource.group, resource.kind))


def complete(kind: GroupVersionKind | None, obj: Object) -> None:
    """Fill in the defaults of the body of a subresource that is of another kind, in place."""
    if kind is not None and kind.kind == "TokenRequest":
        from merope.controlplane import tokens

        tokens.complete_request(obj)


# --- scale -------------------------------------------------------------------------------------------------------


def read_scale(resource: Resource, obj: Object) -> Object:
    """The Scale of an object. Raises ApiError 500 where a custom resource has no replicas."""
    spec_path, status_path, selector_path = _scale_paths(resource)
    replicas = _at(obj, spec_path)
    if replicas is None:
        if not resource.builtin:
            raise internal(f'the spec replicas field "{_dotted(spec_path)}" does not exist')
        replicas = 1
    metadata = obj["metadata"]
    shown = {
        key: metadata[key]
        for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if metadata.get(key)
    }
    status: Object = {"replicas": _at(obj, status_path) or 0}
    if selector_path:
        selector = _at(obj, selector_path)
        if isinstance(selector, str):
            text = selector
        elif resource.plural == "replicationcontrollers":
            text = str(selectors.match_labels(selector or {}))
        else:
            text = str(selectors.label_selector(selector)) if selector is not None else ""
        if text:
            status["selector"] = text
    return {
        "kind": "Scale",
        "apiVersion": _SCALE_VERSION,
        "metadata": shown,
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def _scale_paths(resource: Resource) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Where the wanted replicas, the actual ones and the selector are in an object."""
    declared = getattr(resource.strategy, "scale_paths", None)
    if declared is None:
        return ("spec", "replicas"), ("status", "replicas"), ("spec", "selector")
    spec, status, selector = (tuple(part for part in path.split(".") if part) for path in declared)
    return spec, status, selector


def _dotted(path: tuple[str, ...]) -> str:
    return "." + ".".join(path)


def _at(obj: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        obj = obj.get(key) if isinstance(obj, dict) else None
    return obj


async def write_scale(server: Server, request: Request, scale: Object) -> Object:
    """Set the replicas of the parent as the Scale in a PUT says."""
    shaping.shape_body(server, request, scale, node=_scale_node(server), gvk=request.resource.subresources[SCALE].kind)
    metadata = scale.get("metadata") or {}
    name = metadata.get("name") or ""
    if name and name != request.name:
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({request.name})")
    given = metadata.get("namespace") or ""
    if given and given != request.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    return await _set_replicas(server, request, lambda _: scale)


async def patch_scale(server: Server, request: Request, patch: Patch) -> Object:
    """Change the replicas of the parent by a patch of its Scale."""
    if patch.is_apply:
        return await _apply_scale(server, request, patch)
    node = _scale_node(server)

    def patched(live: Object) -> Object:
        wanted = patching.apply(patch, live, node)
        if wanted.get("kind") != "Scale" or wanted.get("apiVersion") != _SCALE_VERSION:
            raise patching.undecodable(patch, wanted, "the patched object is no Scale")
        complaints = shaping.shape(request, wanted, node=node, gvk=request.resource.subresources[SCALE].kind)
        patching.check_complaints(request, patch, wanted, complaints)
        return wanted

    return await _set_replicas(server, request, patched)


async def _apply_scale(server: Server, request: Request, patch: Patch) -> Object:
    """Apply a Scale: as an apply of the parent that says nothing but the replicas, so that owners are heard."""
    resource = request.resource
    patching.check_configuration(request, patch.value)
    metadata = patch.value.get("metadata") or {}
    kept = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if metadata.get(key)}
    config: Object = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": kept}
    replicas = (patch.value.get("spec") or {}).get("replicas")
    if replicas is not None:
        _check_replicas(request, replicas)
        below = config
        *parents, last = _scale_paths(resource)[0]
        for key in parents:
            below = below.setdefault(key, {})
        below[last] = replicas
    written = await server.registry.writer.apply_to_parent(request, Patch(patch.media, config, patch.duplicates))
    return await _scale_of(server, resource, written)


def _check_replicas(request: Request, replicas: Any) -> None:
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        problem = invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise invalid("autoscaling", "Scale", request.name, [problem])


async def _scale_of(server: Server, resource: Resource, written: Written) -> Object:
    if written.entry is not None:
        return read_scale(resource, await server.views.fresh(resource, written.entry))
    assert written.obj is not None
    return read_scale(resource, written.obj)


def _scale_node(server: Server) -> Any:
    return server.catalogue.node(GroupVersionKind("autoscaling", "v1", "Scale"))


async def _set_replicas(server: Server, request: Request, wanted: Any) -> Object:
    resource = request.resource
    spec_path, _, _ = _scale_paths(resource)
    request.subresource = SCALE

    def change(obj: Object) -> Object:
        version = obj["metadata"]["resourceVersion"]
        scale = wanted(read_scale(resource, obj))
        given = (scale.get("metadata") or {}).get("resourceVersion") or ""
        if given and given != version:
            raise conflict(resource.group, resource.plural, request.name)
        replicas = (scale.get("spec") or {}).get("replicas", 0)
        _check_replicas(request, replicas)
        parent: Any = obj
        for key in spec_path[:-1]:
            parent = parent.setdefault(key, {})
        parent[spec_path[-1]] = replicas
        return obj

    return await _scale_of(server, resource, await server.registry.writer.modify(request, change))


# --- pods --------------------------------------------------------------------------------------------------------


async def _evict(server: Server, request: Request, obj: Object) -> Object:
    """policy/v1 Eviction: delete the pod, with the options that it brings."""
    name = (obj.get("metadata") or {}).get("name") or ""
    if name and name != request.name:
        raise bad_request(f"name in URL does not match name in Eviction object: {request.name} != {name}")
    options: Mapping[str, Any] = obj.get("deleteOptions") or {}
    preconditions: Mapping[str, Any] = options.get("preconditions") or {}
    single = Request(request.user, "delete", request.resource, request.namespace, request.name, options=request.options)
    await server.registry.delete(
        single,
        DeleteOptions(
            grace_period=options.get("gracePeriodSeconds"),
            propagation=options.get("propagationPolicy") or "",
            uid=preconditions.get("uid"),
            resource_version=preconditions.get("resourceVersion"),
            dry_run=request.options.dry_run,
        ),
    )
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def _bind(server: Server, request: Request, obj: Object) -> Object:
    """core/v1 Binding: put the pod on a node."""
    target = (obj.get("target") or {}).get("name") or ""
    resource = request.resource
    if not target:
        raise invalid("", "Binding", request.name, [required("target.name")])

    def change(pod: Object) -> Object:
        spec = pod.setdefault("spec", {})
        if pod["metadata"].get("deletionTimestamp"):
            raise conflict(resource.group, "pods/binding", request.name, f"pod {request.name} is being deleted")
        if spec.get("nodeName"):
            cause = f'pod {request.name} is already assigned to node "{spec["nodeName"]}"'
            raise conflict(resource.group, "pods/binding", request.name, cause)
        spec["nodeName"] = target
        conditions = pod.setdefault("status", {}).setdefault("conditions", [])
        conditions[:] = [condition for condition in conditions if condition.get("type") != "PodScheduled"]
        conditions.append({"type": "PodScheduled", "status": "True", "lastTransitionTime": server.now()})
        return pod

    request.subresource = "binding"
    await server.registry.writer.modify(request, change)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def _token(server: Server, request: Request, obj: Object) -> Object:
    from merope.controlplane import tokens

    return await tokens.create_token(server, request, obj)


_SUBRESOURCES: Final[dict[tuple[str, str, str], Handler]] = {
    ("", "pods", "eviction"): _evict,
    ("", "pods", "binding"): _bind,
    ("", "serviceaccounts", "token"): _token,
}


def refuse(server: Server, request: Request) -> ApiError:
    """Why a path that would need a kubelet is not answered; 404 first where the pod does not exist."""
    entry = server.store.get(GroupResource("", request.resource.plural), request.namespace, request.name)
    if entry is None:
        return not_found("", request.resource.plural, request.name)
    what = request.subresource
    if what == "log":
        container = request.options.query.get("container", "")
        spec = entry.parsed().get("spec") or {}
        names = [c.get("name") for key in ("initContainers", "containers") for c in spec.get(key) or ()]
        if container and container not in names:
            return bad_request(f"container {container} is not valid for pod {request.name}")
    return ApiError(
        501,
        "NotImplemented",
        f"{request.resource.plural}/{what} is not available: this control plane has no nodes and runs no containers",
    )


def is_refused(subresource: str) -> bool:
    """Whether a subresource needs a kubelet."""
    return subresource in _REFUSED or subresource == "log"
