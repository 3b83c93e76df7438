"""Requests on resources: from a classified request to a call of the registry, and from its result to a response."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from merope.controlplane import subresources
from merope.controlplane.errors import (
    bad_request,
    method_not_allowed,
    not_found,
    request_too_large,
    unknown_path,
    verb_not_supported,
)
from merope.controlplane.http import bodies, negotiation, options, rendering, watching
from merope.controlplane.http.message import HttpRequest, HttpResponse, text_response
from merope.controlplane.http.negotiation import Output
from merope.controlplane.http.requestinfo import RequestInfo, is_true
from merope.controlplane.registry import Written, patching, shaping
from merope.controlplane.resource import GroupVersionKind, Object, Options, Request, Resource, Subresource, UserInfo

if TYPE_CHECKING:
    from merope.controlplane.server import Server

#: Bodies from this size on are decoded in a thread, so that nobody waits for them.
_THREAD_BYTES: Final = 128 * 1024
_COLLECTION_VERBS: Final = frozenset({"list", "watch", "create", "deletecollection"})
#: Hidden from discovery while a definition is going away, but still served.
_WRITES: Final = frozenset({"create", "update", "patch"})
_OPTION_KINDS: Final = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}


class RestHandler:
    """Answers requests on resources."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def respond(self, info: RequestInfo, http: HttpRequest, request: Request) -> HttpResponse:
        """Answer an authorized request; ``request`` was made by ``prepare``."""
        if len(info.parts) > 3 and not subresources.is_refused(info.subresource):
            raise unknown_path()
        verb = self._verb(info, http, request.resource)
        request.verb = verb
        if http.oversized:
            raise request_too_large()
        if request.subresource:
            return await self._subresource(info, http, request, verb)
        if verb == "get":
            return await self._get(http, request)
        if verb == "list":
            return await self._list(http, request)
        if verb == "watch":
            return await self._watch(http, request)
        if verb == "create":
            return await self._create(http, request)
        if verb == "update":
            return await self._update(http, request)
        if verb == "patch":
            return await self._patch(http, request)
        if verb == "delete":
            return await self._delete(http, request)
        return await self._delete_collection(http, request)

    def prepare(self, info: RequestInfo, http: HttpRequest, user: UserInfo) -> Request | HttpResponse:
        """The request on the resource at the path, or the 404 for a path that has none."""
        resource = self._server.lookup(info.group, info.version, info.resource)
        if resource is None or not self._scope_fits(info, resource):
            known = resource.builtin if resource is not None else self._server.catalogue_has_group(info.group)
            if not known:
                return text_response("404 page not found\n", 404)
            raise unknown_path()
        return Request(
            user=user,
            verb=info.verb,
            resource=resource,
            namespace=info.namespace if resource.namespaced else "",
            name=info.path_name,
            subresource=info.subresource,
            user_agent=http.headers.get("User-Agent", ""),
        )

    @staticmethod
    def _scope_fits(info: RequestInfo, resource: Resource) -> bool:
        if not resource.namespaced:
            return not info.namespaced_path
        if not resource.builtin and not info.namespaced_path:
            # Only these look into all namespaces; to others, such a path of a custom resource does not exist.
            return info.verb in ("list", "watch")
        return info.namespaced_path or not info.path_name

    @staticmethod
    def _verb(info: RequestInfo, http: HttpRequest, resource: Resource) -> str:
        """The verb, checked against what the resource can do; 405."""
        verb = info.verb
        if http.method == "HEAD" or not verb:
            raise (
                method_not_allowed()
                if resource.builtin
                else verb_not_supported(resource.group, resource.plural, http.method)
            )
        if info.subresource:
            return verb
        if not resource.builtin:
            if verb == "update" and not info.path_name:
                raise bad_request("name must be provided")
            if verb == "patch" and not info.path_name:
                raise verb_not_supported(resource.group, resource.plural, verb)
            if verb not in resource.verbs and verb not in _WRITES:
                raise verb_not_supported(resource.group, resource.plural, verb)
            return verb
        fits = (verb in _COLLECTION_VERBS) is not bool(info.path_name)
        unscoped = resource.namespaced and not info.namespace and verb in ("create", "deletecollection")
        if verb not in resource.verbs or not fits or unscoped:
            raise method_not_allowed()
        return verb

    # --- reading -------------------------------------------------------------------------------------------------

    def _output(self, http: HttpRequest, resource: Resource, form: str) -> Output:
        kind = resource.list_kind if form == "list" else resource.kind
        internal = f"*{resource.group.partition('.')[0] or 'core'}.{kind}"
        go_type = internal if resource.builtin else "*unstructured.Unstructured" + ("List" if form == "list" else "")
        accept = http.headers.get("Accept", "")
        output = negotiation.negotiate(accept, builtin=resource.builtin, form=form, go_type=go_type)
        return replace(output, pretty=True) if is_true(http.query.get("pretty")) else output

    @staticmethod
    def _include(http: HttpRequest) -> str:
        return http.query.get("includeObject", "")

    async def _get(self, http: HttpRequest, request: Request) -> HttpResponse:
        output = self._output(http, request.resource, "object")
        text = http.query.get("resourceVersion", "")
        entry = await self._server.registry.get(request, options.parse_version(text) if text else 0)
        return await rendering.entry_response(self._server, request.resource, entry, output, self._include(http))

    async def _list(self, http: HttpRequest, request: Request) -> HttpResponse:
        output = self._output(http, request.resource, "list")
        page = await self._server.registry.list(request, options.list_options(http.query, watch=False))
        return await rendering.list_response(self._server, request.resource, page, output, self._include(http))

    async def _watch(self, http: HttpRequest, request: Request) -> HttpResponse:
        output = self._output(http, request.resource, "watch")
        request.options = Options(query=http.query)
        return await watching.watch_response(
            self._server, request, options.list_options(http.query, watch=True), output
        )

    # --- writing -------------------------------------------------------------------------------------------------

    def _write_options(self, http: HttpRequest, request: Request, verb: str, *, apply: bool = False) -> None:
        request.options = options.write_options(http.query, request.user_agent, _OPTION_KINDS[verb], apply=apply)

    async def _body(
        self, http: HttpRequest, request: Request, expected: GroupVersionKind, *, builtin: bool
    ) -> bodies.Body:
        decode = functools.partial(
            bodies.decode,
            http.body,
            http.headers.get("Content-Type", ""),
            expected,
            builtin=builtin,
            catalogue=self._server.catalogue,
            look_for_duplicates=request.options.field_validation != "Ignore",
        )
        return decode() if len(http.body) < _THREAD_BYTES else await asyncio.to_thread(decode)

    async def _create(self, http: HttpRequest, request: Request) -> HttpResponse:
        resource = request.resource
        output = self._output(http, resource, "object")
        self._write_options(http, request, "create")
        body = await self._body(http, request, resource.gvk, builtin=resource.builtin)
        answer = subresources.handler(resource, "")
        if answer is not None:
            shaping.shape_body(self._server, request, body.obj, body.duplicates)
            self._server.registry.writer.own(request, None, body.obj)
            return rendering.object_response(resource, await answer(self._server, request, body.obj), output, "", 201)
        written = await self._server.registry.create(request, body.obj, body.duplicates)
        return await self._written(http, request, written, output)

    async def _update(self, http: HttpRequest, request: Request) -> HttpResponse:
        resource = request.resource
        output = self._output(http, resource, "object")
        self._write_options(http, request, "update")
        body = await self._body(http, request, resource.gvk, builtin=resource.builtin)
        written = await self._server.registry.update(request, body.obj, body.duplicates)
        return await self._written(http, request, written, output)

    async def _patch(self, http: HttpRequest, request: Request) -> HttpResponse:
        output = self._output(http, request.resource, "object")
        patch = await self._decode_patch(http, request)
        written = await self._server.registry.patch(request, patch)
        return await self._written(http, request, written, output)

    async def _decode_patch(self, http: HttpRequest, request: Request) -> patching.Patch:
        media = negotiation.patch_type(http.headers.get("Content-Type", ""), builtin=request.resource.builtin)
        self._write_options(http, request, "patch", apply=media == negotiation.APPLY_PATCH)
        validation = request.options.field_validation
        decode = functools.partial(
            patching.decode,
            media,
            http.body,
            strict=validation == "Strict",
            look_for_duplicates=validation != "Ignore",
        )
        return decode() if len(http.body) < _THREAD_BYTES else await asyncio.to_thread(decode)

    async def _written(self, http: HttpRequest, request: Request, written: Written, output: Output) -> HttpResponse:
        status = 201 if written.created else 200
        include = self._include(http)
        if written.entry is not None:
            return await rendering.entry_response(
                self._server, request.resource, written.entry, output, include, status
            )
        assert written.obj is not None
        return rendering.object_response(request.resource, written.obj, output, include, status)

    async def _delete(self, http: HttpRequest, request: Request) -> HttpResponse:
        output = self._output(http, request.resource, "object")
        wanted = self._delete_options(http, request)
        return await self._written(http, request, await self._server.registry.delete(request, wanted), output)

    def _delete_options(self, http: HttpRequest, request: Request) -> options.DeleteOptions:
        body = bodies.decode_delete_options(http.body, http.headers.get("Content-Type", ""))
        wanted = options.delete_options(http.query, body)
        request.options = Options(
            dry_run=wanted.dry_run,
            field_manager=options.default_manager(request.user_agent),
            query=http.query,
        )
        return wanted

    async def _delete_collection(self, http: HttpRequest, request: Request) -> HttpResponse:
        output = self._output(http, request.resource, "list")
        wanted = self._delete_options(http, request)
        selected = options.list_options(http.query, watch=False)
        page = await self._server.registry.delete_collection(request, wanted, selected)
        return await rendering.list_response(self._server, request.resource, page, output, self._include(http))

    # --- subresources --------------------------------------------------------------------------------------------

    async def _subresource(self, info: RequestInfo, http: HttpRequest, request: Request, verb: str) -> HttpResponse:
        server, resource = self._server, request.resource
        name = request.subresource
        sub = resource.subresources.get(name)
        if sub is None:
            if resource.builtin:
                raise unknown_path()
            raise not_found(resource.group, resource.plural, request.name)
        if subresources.is_refused(name):
            request.options = Options(query=http.query)
            raise subresources.refuse(server, request)
        if verb not in sub.verbs:
            raise (
                method_not_allowed() if resource.builtin else verb_not_supported(resource.group, resource.plural, verb)
            )
        if verb == "create":
            return await self._post_subresource(http, request, sub)
        if name == subresources.SCALE:
            return await self._scale(http, request, sub, verb)
        if verb == "get":
            return await self._get(http, request)
        if verb == "update":
            return await self._update(http, request)
        return await self._patch(http, request)

    async def _post_subresource(self, http: HttpRequest, request: Request, sub: Subresource) -> HttpResponse:
        server, resource = self._server, request.resource
        output = self._output(http, resource, "object")
        self._write_options(http, request, "create")
        body = await self._body(http, request, sub.kind, builtin=True)
        answer = subresources.handler(resource, sub.name)
        if answer is None:
            raise method_not_allowed()
        node = server.catalogue.node(sub.kind)
        shaping.shape_body(server, request, body.obj, body.duplicates, node=node, gvk=sub.kind)
        subresources.complete(sub.kind, body.obj)
        server.registry.writer.own(request, None, body.obj, subresource=sub.kind)
        result = await answer(server, request, body.obj)
        return rendering.object_response(resource, result, output, "", 201)

    async def _scale(self, http: HttpRequest, request: Request, sub: Subresource, verb: str) -> HttpResponse:
        server, resource = self._server, request.resource
        output = self._output(http, resource, "object")
        if verb == "get":
            entry = await server.registry.get(request)
            scale = subresources.read_scale(resource, await server.views.fresh(resource, entry))
        elif verb == "update":
            self._write_options(http, request, "update")
            body = await self._body(http, request, sub.kind, builtin=True)
            scale = await subresources.write_scale(server, request, body.obj)
        else:
            scale = await subresources.patch_scale(server, request, await self._decode_patch(http, request))
        return self._scale_response(resource, scale, output)

    @staticmethod
    def _scale_response(resource: Resource, scale: Object, output: Output) -> HttpResponse:
        if output.kind == "Table":
            return rendering.scale_table(resource, scale, output)
        return rendering.object_response(resource, scale, output, "")
