"""Calling admission webhooks: over TLS, verified, within their time, as any Kubernetes API server does."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import ssl
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import orjson

from merope.controlplane import errors
from merope.controlplane.admission import conditions
from merope.controlplane.admission.matching import NAMESPACES, Webhook, webhooks_of
from merope.controlplane.admission.services import ServiceUnresolved, resolve_service
from merope.controlplane.entry import Change
from merope.controlplane.errors import ApiError
from merope.controlplane.resource import GroupResource, Object, Request, Resource
from merope.lang import jsonpatch

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_logger = logging.getLogger(__name__)

_GROUP: Final = "admissionregistration.k8s.io"
_MUTATING: Final = GroupResource(_GROUP, "mutatingwebhookconfigurations")
_VALIDATING: Final = GroupResource(_GROUP, "validatingwebhookconfigurations")
_LARGEST_ANSWER: Final = 8 * 1024 * 1024
_OPTIONS_KIND: Final = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


class CallFailed(Exception):
    """A webhook gave no usable answer; the failure policy decides what that means."""


class Webhooks:
    """The webhooks of one server. Configurations are followed; an idle server holds no connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._hooks: dict[GroupResource, tuple[Webhook, ...]] = {_MUTATING: (), _VALIDATING: ()}
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._session: aiohttp.ClientSession | None = None
        self._unsubscribe: list[Callable[[], None]] = []

    async def start(self) -> None:
        for storage in (_MUTATING, _VALIDATING):
            self._load(storage)
            self._unsubscribe.append(self._server.store.subscribe(self._changed, storage))

    async def stop(self) -> None:
        while self._unsubscribe:
            self._unsubscribe.pop()()
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _changed(self, change: Change) -> None:
        self._load(change.entry.storage)

    def _load(self, storage: GroupResource) -> None:
        self._hooks[storage] = webhooks_of([entry.parsed() for entry in self._server.store.list(storage)])
        self._contexts.clear()

    # --- the two phases ------------------------------------------------------------------------------------------

    async def mutate(self, request: Request, operation: str, obj: Object | None, old: Object | None) -> Object | None:
        """Call the mutating webhooks one after the other; those that ask for it again when later ones changed more."""
        again: list[tuple[Webhook, Resource, bytes]] = []
        for hook in self._hooks[_MUTATING]:
            resource = await self._concerned(hook, request, operation, obj, old)
            if resource is None:
                continue
            obj = await self._mutate_once(hook, resource, request, operation, obj, old)
            if hook.reinvoke:
                again.append((hook, resource, _encoded(obj)))
        for hook, resource, seen in again:
            if _encoded(obj) != seen:
                obj = await self._mutate_once(hook, resource, request, operation, obj, old)
        return obj

    async def validate(self, request: Request, operation: str, obj: Object | None, old: Object | None) -> None:
        """Call the validating webhooks side by side; the first refusal counts."""
        concerned: list[tuple[Webhook, Resource]] = []
        for hook in self._hooks[_VALIDATING]:
            resource = await self._concerned(hook, request, operation, obj, old)
            if resource is not None:
                concerned.append((hook, resource))
        if not concerned:
            return
        calls = [
            asyncio.ensure_future(self._validate_once(hook, resource, request, operation, obj, old))
            for hook, resource in concerned
        ]
        try:
            for done in asyncio.as_completed(calls):
                await done
        finally:
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    async def _mutate_once(
        self,
        hook: Webhook,
        resource: Resource,
        request: Request,
        operation: str,
        obj: Object | None,
        old: Object | None,
    ) -> Object | None:
        shown, shown_old = (
            await self._in_version(request, resource, obj),
            await self._in_version(request, resource, old),
        )
        response = await self._ask(hook, resource, request, operation, shown, shown_old)
        if response is None or not response.get("patch") or shown is None:
            return obj
        try:
            operations = orjson.loads(base64.b64decode(response["patch"]))
            if not isinstance(operations, list):
                raise ValueError("a JSON patch is a list of operations")
        except (ValueError, TypeError) as error:
            self._failed(hook, f"received undecodable patch in webhook response: {error}")
            return obj
        try:
            patched = jsonpatch.apply(shown, operations)
            if not isinstance(patched, dict):
                raise ValueError("it does not leave an object")
        except (jsonpatch.JSONPatchError, ValueError, TypeError) as error:
            # No failure policy helps here: the webhook did answer, and wanted what cannot be done.
            raise errors.internal(f'cannot apply the patch of webhook "{hook.name}": {error}') from error
        return await self._in_version(request, request.resource, patched, held_in=resource)

    async def _validate_once(
        self,
        hook: Webhook,
        resource: Resource,
        request: Request,
        operation: str,
        obj: Object | None,
        old: Object | None,
    ) -> None:
        shown, shown_old = (
            await self._in_version(request, resource, obj),
            await self._in_version(request, resource, old),
        )
        await self._ask(hook, resource, request, operation, shown, shown_old, mutating=False)

    # --- which ---------------------------------------------------------------------------------------------------

    async def _concerned(
        self, hook: Webhook, request: Request, operation: str, obj: Object | None, old: Object | None
    ) -> Resource | None:
        resource = hook.resource_for(operation, request.resource, request.subresource, self._equivalents(request))
        if resource is None or not hook.selects_namespace(self._namespace_labels(request, operation, obj, old)):
            return None
        if not hook.selects_object(obj, old):
            return None
        if hook.conditions:
            review = self._review(request, resource, operation, None, None)
            try:
                if not conditions.all_true(hook.conditions, obj, old, review):
                    return None
            except conditions.ConditionError as error:
                if not hook.fails_closed:
                    return None
                cause = f'admission webhook "{hook.name}" match conditions failed: {error}'
                group, plural = request.resource.group, request.resource.plural
                raise errors.forbidden(group, plural, request.name, cause) from error
        return resource

    def _equivalents(self, request: Request) -> list[Resource]:
        own = request.resource
        return [
            other
            for other in self._server.all_resources()
            if other.storage == own.storage and other is not own and "create" in other.verbs
        ]

    def _namespace_labels(
        self, request: Request, operation: str, obj: Object | None, old: Object | None
    ) -> Mapping[str, str] | None:
        if request.resource.storage == NAMESPACES:
            own = old if operation == "DELETE" else obj
            return ((own or {}).get("metadata") or {}).get("labels") or {}
        if not request.resource.namespaced:
            return None
        entry = self._server.store.get(NAMESPACES, "", request.namespace)
        return entry.labels if entry is not None else {}

    async def _in_version(
        self, request: Request, resource: Resource, obj: Object | None, *, held_in: Resource | None = None
    ) -> Object | None:
        held = held_in or request.resource
        if obj is None or resource is held:
            return obj
        return dict(await self._server.views.convert(held, obj, resource.api_version))

    # --- one call ------------------------------------------------------------------------------------------------

    def _review(
        self, request: Request, resource: Resource, operation: str, obj: Object | None, old: Object | None
    ) -> Object:
        own, options = request.resource, request.options
        review: Object = {
            "uid": str(uuid.uuid4()),
            "kind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
            "resource": {"group": resource.group, "version": resource.version, "resource": resource.plural},
            "requestKind": {"group": own.group, "version": own.version, "kind": own.kind},
            "requestResource": {"group": own.group, "version": own.version, "resource": own.plural},
        }
        if request.subresource:
            review["subResource"] = review["requestSubResource"] = request.subresource
        if request.name:
            review["name"] = request.name
        if own.namespaced:
            review["namespace"] = request.namespace
        elif own.storage == NAMESPACES and request.name:
            review["namespace"] = request.name
        stated: Object = {"kind": _OPTIONS_KIND.get(operation, "CreateOptions"), "apiVersion": "meta.k8s.io/v1"}
        if options.dry_run:
            stated["dryRun"] = ["All"]
        if operation == "DELETE":
            stated |= request.deletion
        elif options.explicit_manager:
            stated["fieldManager"] = options.field_manager
        if operation != "DELETE" and "fieldValidation" in options.query:
            stated["fieldValidation"] = options.field_validation
        review |= {
            "operation": operation,
            "userInfo": request.user.to_dict(),
            "object": obj,
            "oldObject": old,
            "dryRun": options.dry_run,
            "options": stated,
        }
        return review

    async def _ask(
        self,
        hook: Webhook,
        resource: Resource,
        request: Request,
        operation: str,
        obj: Object | None,
        old: Object | None,
        *,
        mutating: bool = True,
    ) -> Mapping[str, Any] | None:
        """The response of a webhook that allowed; None where it failed and may. Raises ApiError where it refused."""
        if request.options.dry_run and not hook.dry_run_safe:
            raise errors.bad_request(f'admission webhook "{hook.name}" does not support dry run')
        version = next((version for version in hook.versions if version in ("v1", "v1beta1")), "v1")
        review = self._review(request, resource, operation, obj, old)
        body = {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "request": review}
        try:
            response = await self._post(hook, orjson.dumps(body))
        except CallFailed as error:
            self._failed(hook, f"failed to call webhook: {error}")
            return None
        wrong = _irregular(response, review["uid"], mutating=mutating)
        if wrong:
            self._failed(hook, f"received invalid webhook response: {wrong}")
            return None
        for warning in response.get("warnings") or ():
            request.warn(str(warning))
        if not response.get("allowed"):
            raise _denial(hook, response.get("status") or {})
        return response

    def _failed(self, hook: Webhook, problem: str) -> None:
        if hook.fails_closed:
            raise errors.internal(f'failed calling webhook "{hook.name}": {problem}')
        _logger.warning("webhook %s failed and is ignored: %s", hook.name, problem)

    async def _post(self, hook: Webhook, body: bytes) -> Mapping[str, Any]:
        url, hostname = self._address(hook)
        url = f"{url}?timeout={hook.seconds}s"
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=True, trust_env=False)
        try:
            async with self._session.post(
                url,
                data=body,
                headers={"Content-Type": "application/json", "Accept": "application/json"},
                ssl=self._context(hook.client.get("caBundle", "")),
                server_hostname=hostname or None,
                timeout=aiohttp.ClientTimeout(total=hook.seconds),
                allow_redirects=False,
            ) as answer:
                raw = await answer.content.read(_LARGEST_ANSWER + 1)
                while len(raw) <= _LARGEST_ANSWER and not answer.content.at_eof():
                    raw += await answer.content.read(_LARGEST_ANSWER + 1 - len(raw))
                if not 200 <= answer.status < 300:
                    raise CallFailed(f"unexpected status {answer.status} of {url}")
        except TimeoutError:
            raise CallFailed(f'Post "{url}": context deadline exceeded') from None
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            raise CallFailed(f'Post "{url}": {_explained(error)}') from error
        if len(raw) > _LARGEST_ANSWER:
            raise CallFailed("the answer is too large")
        try:
            response = orjson.loads(raw)["response"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise CallFailed("the answer is no AdmissionReview with a response") from None
        if not isinstance(response, Mapping):
            raise CallFailed("the answer is no AdmissionReview with a response")
        return response

    def _address(self, hook: Webhook) -> tuple[str, str]:
        """URL, and the name that its certificate must have where that is not the URL's own."""
        if hook.client.get("url"):
            return hook.client["url"], ""
        try:
            return resolve_service(self._server.store, hook.client.get("service") or {})
        except ServiceUnresolved as error:
            raise CallFailed(str(error)) from error

    def _context(self, bundle: str) -> ssl.SSLContext:
        context = self._contexts.get(bundle)
        if context is None:
            try:
                pem = base64.b64decode(bundle).decode() if bundle else None
                context = ssl.create_default_context(cadata=pem)
            except (ValueError, ssl.SSLError) as error:
                raise CallFailed(f"caBundle: {error}") from error
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._contexts[bundle] = context
        return context


def _irregular(response: Mapping[str, Any], uid: str, *, mutating: bool) -> str:
    """What is wrong with a response; empty where nothing is."""
    if response.get("uid") != uid:
        return f'expected response.uid="{uid}", got "{response.get("uid") or ""}"'
    patch, patch_type = response.get("patch"), response.get("patchType")
    if not mutating:
        if patch:
            return "webhook may not return response.patch"
        return "webhook may not return response.patchType" if patch_type else ""
    if patch and not patch_type:
        return "webhook returned response.patch but not response.patchType"
    if patch_type and not patch:
        return "webhook returned response.patchType but not response.patch"
    return f'unsupported patch type "{patch_type}"' if patch_type not in (None, "JSONPatch") else ""


def _explained(error: Exception) -> str:
    """Why a connection failed, in the words that Kubernetes' users know and search for."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            found = error.certificate_error
            return f"tls: failed to verify certificate: x509: {getattr(found, 'verify_message', '') or found}"
        case aiohttp.ClientConnectorDNSError():
            return f"dial tcp: lookup {error.host}: no such host"
        case aiohttp.ClientConnectorSSLError():
            return f"tls: {getattr(error.os_error, 'reason', '') or error.os_error}"
        case aiohttp.ClientConnectorError():
            where = f"[{error.host}]" if ":" in error.host else error.host
            number = error.os_error.errno
            described = os.strerror(number).lower() if number else str(error.os_error)
            return f"dial tcp {where}:{error.port}: connect: {described}"
        case aiohttp.ServerDisconnectedError():
            return "EOF"
    return str(error)


def _encoded(obj: Object | None) -> bytes:
    return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)


def _denial(hook: Webhook, status: Mapping[str, Any]) -> ApiError:
    code = status.get("code") or 0
    by = f'admission webhook "{hook.name}" denied the request'
    explained = status.get("message") or status.get("reason")
    message = f"{by}: {explained}" if explained else f"{by} without explanation"
    code = code if code >= 400 else 400
    return ApiError(code, status.get("reason") or "", message, status.get("details"))
