"""Admission webhooks: which are concerned, what they are asked, and what their answers mean."""

from __future__ import annotations

import asyncio
import base64
import logging
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from merope.controlplane import errors
from merope.controlplane.admission import conditions
from merope.controlplane.admission.matching import Webhook, webhooks_of
from merope.controlplane.admission.requests import Surroundings, describe
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


class Webhooks:
    """The webhooks of one server. Configurations are followed; an idle server holds no connection."""

    def __init__(self, server: Server, surroundings: Surroundings) -> None:
        self._server = server
        self._surroundings = surroundings
        self._hooks: dict[GroupResource, tuple[Webhook, ...]] = {_MUTATING: (), _VALIDATING: ()}
        self._client = WebhookClient(server.store)
        self._unsubscribe: list[Callable[[], None]] = []

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
            await self._surroundings.in_version(request, resource, obj),
            await self._surroundings.in_version(request, resource, old),
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
        return await self._surroundings.in_version(request, request.resource, patched, held_in=resource)

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
            await self._surroundings.in_version(request, resource, obj),
            await self._surroundings.in_version(request, resource, old),
        )
        await self._ask(hook, resource, request, operation, shown, shown_old, mutating=False)

    # --- which ---------------------------------------------------------------------------------------------------

    async def _concerned(
        self, hook: Webhook, request: Request, operation: str, obj: Object | None, old: Object | None
    ) -> Resource | None:
        resource = self._surroundings.concerned(hook, request, operation, obj, old)
        if resource is None:
            return None
        if hook.conditions:
            review = describe(request, resource, operation)
            try:
                if not conditions.all_true(hook.conditions, obj, old, review, self._surroundings.authorizer(request)):
                    return None
            except conditions.ConditionError as error:
                if not hook.fails_closed:
                    return None
                cause = f'admission webhook "{hook.name}" match conditions failed: {error}'
                group, plural = request.resource.group, request.resource.plural
                raise errors.forbidden(group, plural, request.name, cause) from error
        return resource

    # --- one call ------------------------------------------------------------------------------------------------

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
        uid = str(uuid.uuid4())
        review = {"uid": uid, **describe(request, resource, operation), "object": obj, "oldObject": old}
        body = {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "request": review}
        try:
            response = _response(await self._client.post(hook.client, body, seconds=hook.seconds))
        except CallFailed as error:
            self._failed(hook, f"failed to call webhook: {error}")
            return None
        wrong = _irregular(response, uid, mutating=mutating)
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
