"""Admission webhooks: which are concerned, what they are asked, and what their answers mean."""

from __future__ import annotations

import asyncio
import base64
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from merope.controlplane import errors
from merope.controlplane.admission import conditions
from merope.controlplane.admission.matching import NAMESPACES, Webhook, webhooks_of
from merope.controlplane.entry import Change
from merope.controlplane.errors import ApiError
from merope.controlplane.resource import GroupResource, Object, Request, Resource
from merope.controlplane.webhookclient import CallFailed, WebhookClient
from merope.lang import jsonpatch

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_logger = logging.getLogger(__name__)

_GROUP: Final = "admissionregistration.k8s.io"
_MUTATING: Final = GroupResource(_GROUP, "mutatingwebhookconfigurations")
_VALIDATING: Final = GroupResource(_GROUP, "validatingwebhookconfigurations")
_OPTIONS_KIND: Final = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


class Webhooks:
    """The webhooks of one server. Configurations are followed; an idle server holds no connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._hooks: dict[GroupResource, tuple[Webhook, ...]] = {_MUTATING: (), _VALIDATING: ()}
        self._client = WebhookClient(server.store)
        self._unsubscribe: list[Callable[[], None]] = []
        self._generation = -1
        self._served: dict[GroupResource, list[Resource]] = {}

    async def start(self) -> None:
        for storage in (_MUTATING, _VALIDATING):
            self._load(storage)
            self._unsubscribe.append(self._server.store.subscribe(self._changed, storage))

    async def stop(self) -> None:
        while self._unsubscribe:
            self._unsubscribe.pop()()
        await self._client.close()

    def _changed(self, change: Change) -> None:
        self._load(change.entry.storage)

    def _load(self, storage: GroupResource) -> None:
        self._hooks[storage] = webhooks_of([entry.parsed() for entry in self._server.store.list(storage)])

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

    def _equivalents(self, request: Request) -> Sequence[Resource]:
        """The other versions and groups in which the objects of the request are served."""
        if self._generation != self._server.resources_generation:
            self._generation = self._server.resources_generation
            self._served = {}
            for resource in self._server.all_resources():
                if "create" in resource.verbs:
                    self._served.setdefault(resource.storage, []).append(resource)
        own = request.resource
        served = self._served.get(own.storage, [])
        return [other for other in served if other is not own] if len(served) > 1 else ()

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
            response = _response(await self._client.post(hook.client, body, seconds=hook.seconds))
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


def _response(answer: Any) -> Mapping[str, Any]:
    response = answer.get("response") if isinstance(answer, Mapping) else None
    if not isinstance(response, Mapping):
        raise CallFailed("the answer is no AdmissionReview with a response")
    return response


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


def _encoded(obj: Object | None) -> bytes:
    return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)


def _denial(hook: Webhook, status: Mapping[str, Any]) -> ApiError:
    code = status.get("code") or 0
    by = f'admission webhook "{hook.name}" denied the request'
    explained = status.get("message") or status.get("reason")
    message = f"{by}: {explained}" if explained else f"{by} without explanation"
    code = code if code >= 400 else 400
    return ApiError(code, status.get("reason") or "", message, status.get("details"))
