"""Admission of ManifestWorks: what may be in one, and on whose behalf it may be applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from merope.lang import gojson
from merope.sdk.admission import AdmissionRequest, Denied, Handler, Hub, JSONPatch, Manifest, Permission, bad_request
from merope.sdk.webhooks import configuration, webhook

WORK_GROUP: Final = "work.open-cluster-management.io"
VALIDATE_WORK: Final = "/validate-work-open-cluster-management-io-v1-manifestwork"
#: Bytes that the manifests of one work may have together.
MANIFEST_LIMIT: Final = 500 * 1024


def encoded_size(manifest: Any) -> int:
    """Bytes of a manifest as it is counted: its JSON, as one length-prefixed field."""
    length = len(gojson.dumps(manifest))
    return length + 1 + max(1, (length.bit_length() + 6) // 7)


def check_manifests(
    manifests: Sequence[Any], *, limit: int = MANIFEST_LIMIT, empty: str = "manifests should not be empty"
) -> None:
    """Raises Denied for what no work may hold: nothing, too much, objects without identity, or one twice."""
    if not manifests:
        raise bad_request(empty)
    size = sum(encoded_size(manifest) for manifest in manifests)
    if size > limit:
        raise bad_request(f"the size of manifests is {size} bytes which exceeds the {limit} limit")
    seen: set[tuple[str, str, str, str]] = set()
    for manifest in manifests:
        identity = _identity(manifest)
        if identity in seen:
            api_version, kind, namespace, name = identity
            raise bad_request(
                f"duplicate manifest for resource {namespace}/{name} with resource type {api_version}.{kind}"
            )
        seen.add(identity)


def _identity(manifest: Any) -> tuple[str, str, str, str]:
    if not isinstance(manifest, Mapping) or not manifest.get("kind"):
        raise bad_request("Object 'Kind' is missing in a manifest")
    metadata: Mapping[str, Any] = manifest.get("metadata") or {}
    if not metadata.get("name"):
        raise bad_request("name must be set in manifest")
    if metadata.get("generateName"):
        raise bad_request("generateName must not be set in manifest")
    return manifest.get("apiVersion", ""), manifest["kind"], metadata.get("namespace", ""), metadata["name"]


async def validate_work(request: AdmissionRequest, hub: Hub) -> JSONPatch | None:
    """Check the manifests, and whether the requester may use the executor where it is new or changed."""
    work = request.object
    if work is None or request.operation not in ("CREATE", "UPDATE"):
        return None
    spec: Mapping[str, Any] = work.get("spec") or {}
    check_manifests((spec.get("workload") or {}).get("manifests") or ())
    executor = spec.get("executor")
    if request.operation == "UPDATE" and executor == ((request.old or {}).get("spec") or {}).get("executor"):
        return None
    if executor is not None:
        await _check_executor(request, hub, executor)
    return None


async def _check_executor(request: AdmissionRequest, hub: Hub, executor: Mapping[str, Any]) -> None:
    account = (executor.get("subject") or {}).get("serviceAccount")
    if not account:
        raise bad_request("executor service account can not be nil")
    namespace, name = account.get("namespace", ""), account.get("name", "")
    permission = Permission(
        "execute-as",
        WORK_GROUP,
        "manifestworks",
        name=f"system:serviceaccount:{namespace}:{name}",
        namespace=request.namespace,
    )
    if not await hub.allows(request.requester, permission):
        raise Denied(
            400,
            "BadRequest",
            f"user {request.requester.username} cannot manipulate the Manifestwork with executor "
            f"{namespace}/{name} in namespace {request.namespace}",
        )


HANDLERS: Final[dict[str, Handler]] = {VALIDATE_WORK: validate_work}


def webhook_configurations(url: str, bundle: str) -> list[Manifest]:
    """The registration of the handler at the listener ``url`` (no trailing slash) with its CA bundle (base64)."""
    name = f"manifestworkvalidators.admission.{WORK_GROUP}"
    hook = webhook(name, url + VALIDATE_WORK, bundle, WORK_GROUP, ["*"], "manifestworks")
    return [configuration("ValidatingWebhookConfiguration", hook)]
