"""Objects of a custom resource from one of its versions to another.

With the strategy None only the apiVersion changes, and what the other version's schema does not declare is lost; its
defaults are not filled in (they are on objects that are stored in it). With the strategy Webhook a server is asked
over TLS; what it answers may differ in everything but the identity of the object and the metadata that others rely on.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from merope.controlplane.crd import embedded, structural
from merope.controlplane.crd.schemas import CompiledSchema
from merope.controlplane.errors import ApiError, internal
from merope.controlplane.registry import typed
from merope.controlplane.resource import Object
from merope.controlplane.webhookclient import CallFailed

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_IDENTITY: Final = ("name", "namespace", "uid")
#: The most objects in one review.
_AT_ONCE: Final = 500
#: How long a webhook may take.
_SECONDS: Final = 30.0
_REVIEWS: Final = ("v1", "v1beta1")


class Converter:
    """Converts between the versions of one definition."""

    def __init__(self, server: Server, definition: Mapping[str, Any], schemas: Mapping[str, CompiledSchema]) -> None:
        conversion: Mapping[str, Any] = definition["spec"].get("conversion") or {}
        self._server = server
        self._schemas = schemas
        stored = next((version["name"] for version in definition["spec"]["versions"] if version.get("storage")), "")
        self._stored = f"{definition['spec']['group']}/{stored}"
        self._webhook: Mapping[str, Any] | None = (
            conversion.get("webhook") or {} if conversion.get("strategy") == "Webhook" else None
        )

    @property
    def is_remote(self) -> bool:
        """Whether a webhook is asked."""
        return self._webhook is not None

    def convert(self, obj: Object, api_version: str) -> Object | Awaitable[Object]:
        """``obj`` in another version; ``obj`` itself is left as it is. An awaitable where a webhook is asked."""
        target = self._schemas.get(api_version.rpartition("/")[2])
        if target is None:
            raise internal(f"request to convert CR to an invalid version: {api_version}")
        if self._webhook is not None:
            return self._ask_one(self._webhook, obj, api_version, target)
        return self._completed(relabel(obj, api_version, target), api_version, target)

    def _completed(self, obj: Object, api_version: str, target: CompiledSchema) -> Object:
        """What is to be stored gets the defaults of its version: they show on every read in it."""
        if api_version == self._stored:
            structural.default(target.full, obj)
        return obj

    async def convert_all(self, objects: Sequence[Object], api_version: str) -> list[Object]:
        """``convert`` for many objects, of which none is in that version: a webhook gets them together."""
        target = self._schemas.get(api_version.rpartition("/")[2])
        if target is None:
            raise internal(f"request to convert CR to an invalid version: {api_version}")
        if self._webhook is None:
            return [self._completed(relabel(obj, api_version, target), api_version, target) for obj in objects]
        converted: list[Object] = []
        for start in range(0, len(objects), _AT_ONCE):
            converted += await self._ask(self._webhook, objects[start : start + _AT_ONCE], api_version, target)
        return converted

    async def _ask_one(
        self, webhook: Mapping[str, Any], obj: Object, api_version: str, target: CompiledSchema
    ) -> Object:
        return (await self._ask(webhook, [obj], api_version, target))[0]

    async def _ask(
        self, webhook: Mapping[str, Any], objects: Sequence[Object], api_version: str, target: CompiledSchema
    ) -> list[Object]:
        request_uid = str(uuid.uuid4())
        accepted = webhook.get("conversionReviewVersions") or ()
        version = next((version for version in accepted if version in _REVIEWS), "v1")
        review = {
            "kind": "ConversionReview",
            "apiVersion": f"apiextensions.k8s.io/{version}",
            "request": {"uid": request_uid, "desiredAPIVersion": api_version, "objects": objects},
        }
        try:
            answer = await self._server.custom.webhooks.post(
                webhook.get("clientConfig") or {}, review, seconds=_SECONDS
            )
            converted = checked_response(answer, request_uid, objects, api_version)
            for obj in converted:
                embedded.coerce(target.full, target.object_meta, obj)
                structural.clean(target.full, obj)
                self._completed(obj, api_version, target)
        except (CallFailed, typed.TypeMismatch) as error:
            about = f"{objects[0]['apiVersion']}, Kind={objects[0]['kind']}"
            raise ApiError(500, "", f"conversion webhook for {about} failed: {error}") from error
        return converted


def relabel(obj: Object, api_version: str, target: CompiledSchema) -> Object:
    """A copy of ``obj`` as an object of another version whose schema is ``target``."""
    converted: Any = orjson.loads(orjson.dumps(obj))
    converted["apiVersion"] = api_version
    structural.clean(target.full, converted)
    return converted  # type: ignore[no-any-return]


def checked_response(answer: Any, request_uid: str, sent: Sequence[Object], api_version: str) -> list[Object]:
    """The objects of a ConversionReview's response, with the metadata that a conversion may not touch put back.

    Raises CallFailed where the answer is not one to the request.
    """
    response = answer.get("response") if isinstance(answer, Mapping) else None
    if not isinstance(response, Mapping):
        raise CallFailed("the answer is no ConversionReview with a response")
    if response.get("uid") != request_uid:
        raise CallFailed(f'expected response.uid="{request_uid}", got "{response.get("uid") or ""}"')
    result = response.get("result") or {}
    if result.get("status") != "Success":
        raise CallFailed(result.get("message") or f"status {result.get('status') or 'missing'} without a message")
    converted = response.get("convertedObjects") or []
    if len(converted) != len(sent):
        raise CallFailed(f"{len(sent)} objects were expected, {len(converted)} came back")
    pairs = zip(sent, converted, strict=True)
    return [_checked(after, before, api_version, index) for index, (before, after) in enumerate(pairs)]


def _checked(after: Any, before: Object, api_version: str, index: int) -> Object:
    if not isinstance(after, dict):
        raise CallFailed(f"converted object {index} is no object")
    if after.get("apiVersion") != api_version:
        raise CallFailed(f"converted object {index} is of {after.get('apiVersion')}, expected {api_version}")
    if after.get("kind") != before["kind"]:
        raise CallFailed(f"converted object {index} is a {after.get('kind')}, expected a {before['kind']}")
    metadata = after.get("metadata")
    if not isinstance(metadata, dict):
        raise CallFailed(f"converted object {index} has no metadata")
    kept = dict(before["metadata"])
    for key in _IDENTITY:
        if (metadata.get(key) or "") != (kept.get(key) or ""):
            raise CallFailed(f"converted object {index} has another metadata.{key}: {metadata.get(key)}")
    for key in ("labels", "annotations"):
        changed = metadata.get(key)
        if changed is not None and not (
            isinstance(changed, dict) and all(isinstance(value, str) for value in changed.values())
        ):
            raise CallFailed(f"converted object {index} has {key} that are no map of texts")
        if changed:
            kept[key] = changed
        else:
            kept.pop(key, None)
    return {**after, "metadata": kept}
