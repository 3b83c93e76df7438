"""Applying one manifest: the four update strategies, against the managed cluster.

What the algorithm is, is in ``merope.work.update`` and ``merope.work.ignored``; here it meets the API server. What was
written is remembered by a hash of its contents, so that an object which is as we left it is read and not written again,
even where the API server filled in fields that the manifest doesn't have.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Mapping
from typing import Any, Final

import orjson

from merope.kube import AlreadyExists, Client, Conflict, Manifest, NotFound, ResourceRef
from merope.kube.errors import ApiError, KubeError
from merope.work import ignored
from merope.work.applied import merge_owner
from merope.work.manifests import Settings, Target, without_removals
from merope.work.update import UnsupportedManifest, created, merged_metadata, metadata_changed, special, updated

#: Field manager of what the agent writes, and prefix of those that works may choose.
FIELD_MANAGER: Final = "work-agent"
_ATTEMPTS: Final = 4
_FIRST_PAUSE: Final = 0.01
_PAUSE_FACTOR: Final = 5.0


class ApplyConflict(KubeError):
    """Server-side apply was refused: another manager owns a field."""


class Applier:
    """Applies manifests to one cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._memory: dict[tuple[Any, ...], tuple[bytes, bytes]] = {}

    async def apply(
        self, ref: ResourceRef, target: Target, manifest: Manifest, owner: Mapping[str, Any], settings: Settings
    ) -> Manifest | None:
        """Brings an object to its manifest; the object that results (None: nothing was to be applied).

        ``owner`` is the reference to the AppliedManifestWork, or the order to remove it. Conflicts with concurrent
        writers are resolved by reading again. Raises ``ApplyConflict``, ``ignored.IgnoreFieldError``,
        ``update.UnsupportedManifest``, and ``KubeError`` as the server refuses.
        """
        if settings.strategy == "ReadOnly":
            return None
        _check_scope(ref, target, manifest)
        manifest = _normalized(ref, manifest)
        pause = _FIRST_PAUSE
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._once(ref, target, manifest, owner, settings)
            except Conflict:
                if attempt == _ATTEMPTS:
                    raise
            await asyncio.sleep(pause * random.uniform(1.0, 1.1))  # noqa: S311
            pause *= _PAUSE_FACTOR
        raise AssertionError("unreachable")

    async def _once(
        self, ref: ResourceRef, target: Target, manifest: Manifest, owner: Mapping[str, Any], settings: Settings
    ) -> Manifest:
        if settings.strategy == "CreateOnly":
            return await self._create_only(ref, target, manifest, owner)
        if settings.strategy == "ServerSideApply":
            return await self._server_side(ref, target, manifest, owner, settings)
        return await self._update(ref, target, manifest, owner)

    def forget(self, group: str, resource: str, namespace: str, name: str, owner: str) -> None:
        """What was remembered of an object for an owner (a uid) is not needed any more."""
        self._memory.pop((group, resource, namespace, name, owner), None)

    # --- strategies ------------------------------------------------------------------------------------------------

    async def _update(self, ref: ResourceRef, target: Target, manifest: Manifest, owner: Mapping[str, Any]) -> Manifest:
        wanted = _owned_by(manifest, owner)
        live = await self._get(ref, target)
        key = (ref.group, ref.plural, target.namespace, target.name, str(owner["uid"]).rstrip("-"))
        digest = _digest(wanted)
        if live is None:
            return self._remember(key, digest, await self._create(ref, target, created(wanted)))
        if self._memory.get(key) == (digest, contents(live)) and not _metadata_differs(live, wanted):
            return live
        update = updated(wanted, live)
        if update.obj is None:
            return self._remember(key, digest, live)
        if not update.recreate:
            try:
                stored = await self._client.update(ref, update.obj, field_manager=FIELD_MANAGER)
            except ApiError as error:
                if not (ref.kind == "Secret" and not ref.group and "field is immutable" in error.message):
                    raise
            else:
                return self._remember(key, digest, stored)
        await self._client.delete(
            ref, target.name, target.namespace or None, uid=live["metadata"]["uid"], missing_ok=True
        )
        return self._remember(key, digest, await self._create(ref, target, created(update.obj)))

    async def _create_only(
        self, ref: ResourceRef, target: Target, manifest: Manifest, owner: Mapping[str, Any]
    ) -> Manifest:
        live = await self._get(ref, target)
        if live is None:
            live = await self._create(ref, target, without_removals(_owned_by(manifest, owner)))
        return await self.own(ref, live, owner)

    async def _server_side(
        self, ref: ResourceRef, target: Target, manifest: Manifest, owner: Mapping[str, Any], settings: Settings
    ) -> Manifest:
        options = settings.update_strategy.get("serverSideApply") or {}
        manifest = ignored.without_null_creation_times(manifest)
        if ignore_fields := options.get("ignoreFields"):
            stripped = ignored.strip(manifest, ignore_fields)
            digest = ignored.config_hash(stripped)
            live = await self._get(ref, target)
            if live is not None:
                annotations = live["metadata"].get("annotations") or {}
                if annotations.get(ignored.HASH_ANNOTATION) == digest:
                    return await self.own(ref, live, owner)
                manifest = stripped
            manifest = ignored.with_hash(manifest, digest)
        try:
            applied = await self._client.apply(
                ref,
                manifest,
                field_manager=options.get("fieldManager") or FIELD_MANAGER,
                force=bool(options.get("force")),
            )
        except Conflict as error:
            raise ApplyConflict(error.message) from error
        return await self.own(ref, applied, owner)

    # --- requests --------------------------------------------------------------------------------------------------

    async def own(self, ref: ResourceRef, live: Manifest, owner: Mapping[str, Any]) -> Manifest:
        """Sees to it that the object has the owner, or hasn't where that is the order; nothing else is changed."""
        metadata = live["metadata"]
        owners = metadata.get("ownerReferences") or []
        merged = merge_owner(owners, owner)
        return live if merged == owners else await self.write_owners(ref, live, merged)

    async def write_owners(self, ref: ResourceRef, live: Manifest, owners: list[dict[str, Any]]) -> Manifest:
        """Writes the owners of an object, if it is still as it was read. Raises ``Conflict``."""
        metadata = live["metadata"]
        patch = {
            "metadata": {
                "uid": metadata.get("uid"),
                "resourceVersion": metadata.get("resourceVersion"),
                "ownerReferences": owners,
            }
        }
        return await self._client.patch(
            ref, metadata["name"], patch, namespace=metadata.get("namespace"), field_manager=FIELD_MANAGER
        )

    async def _get(self, ref: ResourceRef, target: Target) -> Manifest | None:
        try:
            return await self._client.get(ref, target.name, target.namespace or None)
        except NotFound:
            return None

    async def _create(self, ref: ResourceRef, target: Target, manifest: Manifest) -> Manifest:
        try:
            return await self._client.create(ref, manifest, target.namespace or None, field_manager=FIELD_MANAGER)
        except AlreadyExists as error:  # somebody was faster: look again
            raise Conflict(error.status) from error

    def _remember(self, key: tuple[Any, ...], digest: bytes, live: Manifest) -> Manifest:
        self._memory[key] = (digest, contents(live))
        return live


def _owned_by(manifest: Manifest, owner: Mapping[str, Any]) -> Manifest:
    return {**manifest, "metadata": {**(manifest.get("metadata") or {}), "ownerReferences": [dict(owner)]}}


def _normalized(ref: ResourceRef, manifest: Manifest) -> Manifest:
    """The manifest without an identity, and without a namespace where the kind has none."""
    left_out = {"uid"} if ref.namespaced else {"uid", "namespace"}
    metadata = {key: value for key, value in (manifest.get("metadata") or {}).items() if key not in left_out}
    return {**manifest, "metadata": metadata}


def _check_scope(ref: ResourceRef, target: Target, manifest: Manifest) -> None:
    """Raises where the manifest names no single object: the request would be about all of them."""
    if not target.name:
        raise UnsupportedManifest("name is required")
    if not ref.namespaced or target.namespace:
        return
    message = (
        "an empty namespace may not be set when a resource name is provided"
        if special(manifest)
        else "the server could not find the requested resource"
    )
    raise NotFound({"code": 404, "reason": "NotFound", "message": message})


def _digest(value: Any) -> bytes:
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def contents(live: Mapping[str, Any]) -> bytes:
    """Tells whether an object changed in anything but metadata and status, or is another one."""
    identity = (live.get("metadata") or {}).get("uid")
    return _digest([identity, {key: value for key, value in live.items() if key not in ("metadata", "status")}])


def _metadata_differs(live: Manifest, wanted: Manifest) -> bool:
    metadata = live.get("metadata") or {}
    return metadata_changed(metadata, merged_metadata(metadata, wanted["metadata"]))
