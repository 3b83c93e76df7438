"""Which resource of the API is meant, and where it is served.

A ``ResourceRef`` names a resource as the URL has it: group, version, plural. Typed code never writes one: the
struct classes of ``merope.api`` know theirs, and everything that takes a *kind* takes either. Code that handles
arbitrary manifests (apiVersion and kind are all it has) asks a ``RESTMapper``, which learns from the server's
discovery documents, one group version at a time, and forgets what turned out to be missing so that a CRD installed
a moment ago is found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from urllib.parse import quote

from merope.api.meta.v1 import Object, resource_of
from merope.kube.errors import ApiError, KubeError, NotFound

if TYPE_CHECKING:
    from merope.kube.client import Client

Manifest: TypeAlias = dict[str, Any]
"""An object of any kind, as decoded JSON."""

ObjectT = TypeVar("ObjectT", bound=Object)

_SAFE: Final = "-._~:"  # colons are common in RBAC names and legal in a path segment


class NoMatch(KubeError):
    """The server doesn't serve this kind (yet): the CRD isn't installed, or the version isn't served."""


@dataclass(frozen=True, slots=True)
class ResourceRef:
    """A resource of the API. ``group`` is ``""`` for the core group; ``kind`` may be left out by callers that only
    read.
    """

    group: str
    version: str
    plural: str
    namespaced: bool = True
    kind: str = ""
    _prefix: str = field(init=False, repr=False, compare=False, default="")

    def __post_init__(self) -> None:
        prefix = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        object.__setattr__(self, "_prefix", prefix)

    @property
    def api_version(self) -> str:
        """``group/version``, or just the version for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, name: str = "", namespace: str | None = None, subresource: str = "") -> str:
        """The path of the collection, or of one object, or of a subresource of it.

        ``namespace`` empty on a namespaced resource means all namespaces, and is an error together with a name.
        """
        parts = [self._prefix]
        if self.namespaced:
            if namespace:
                parts.append(f"namespaces/{quote(namespace, safe=_SAFE)}")
            elif name:
                raise ValueError(f"{self}: an object of a namespaced resource needs a namespace (name {name!r})")
        elif namespace:
            raise ValueError(f"{self}: the resource is cluster-scoped, but a namespace was given ({namespace!r})")
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=_SAFE))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    def __str__(self) -> str:
        return f"{self.plural}.{self.version}.{self.group}" if self.group else f"{self.plural}.{self.version}"


Kind: TypeAlias = type[Object] | ResourceRef
"""What a caller may name a resource by."""


@lru_cache(maxsize=512)
def ref_of(kind: Kind) -> ResourceRef:
    """The resource of a kind: of a struct class of ``merope.api``, or the reference itself."""
    if isinstance(kind, ResourceRef):
        return kind
    known = resource_of(kind)
    return ResourceRef(known.group, known.version, known.plural, known.namespaced, known.kind)


CORE: Final[Mapping[str, ResourceRef]] = {
    ref.kind: ref
    for ref in (
        ResourceRef("", "v1", "namespaces", False, "Namespace"),
        ResourceRef("", "v1", "secrets", True, "Secret"),
        ResourceRef("", "v1", "configmaps", True, "ConfigMap"),
        ResourceRef("", "v1", "serviceaccounts", True, "ServiceAccount"),
        ResourceRef("", "v1", "pods", True, "Pod"),
        ResourceRef("", "v1", "nodes", False, "Node"),
        ResourceRef("", "v1", "services", True, "Service"),
        ResourceRef("apps", "v1", "deployments", True, "Deployment"),
        ResourceRef("coordination.k8s.io", "v1", "leases", True, "Lease"),
        ResourceRef("events.k8s.io", "v1", "events", True, "Event"),
        ResourceRef("certificates.k8s.io", "v1", "certificatesigningrequests", False, "CertificateSigningRequest"),
        ResourceRef("apiextensions.k8s.io", "v1", "customresourcedefinitions", False, "CustomResourceDefinition"),
        ResourceRef("rbac.authorization.k8s.io", "v1", "clusterroles", False, "ClusterRole"),
        ResourceRef("rbac.authorization.k8s.io", "v1", "clusterrolebindings", False, "ClusterRoleBinding"),
        ResourceRef("rbac.authorization.k8s.io", "v1", "roles", True, "Role"),
        ResourceRef("rbac.authorization.k8s.io", "v1", "rolebindings", True, "RoleBinding"),
        ResourceRef("authorization.k8s.io", "v1", "subjectaccessreviews", False, "SubjectAccessReview"),
        ResourceRef("authorization.k8s.io", "v1", "selfsubjectaccessreviews", False, "SelfSubjectAccessReview"),
        ResourceRef("authentication.k8s.io", "v1", "tokenreviews", False, "TokenReview"),
        ResourceRef(
            "admissionregistration.k8s.io",
            "v1",
            "validatingwebhookconfigurations",
            False,
            "ValidatingWebhookConfiguration",
        ),
        ResourceRef(
            "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", False, "MutatingWebhookConfiguration"
        ),
        ResourceRef("apiregistration.k8s.io", "v1", "apiservices", False, "APIService"),
    )
}
"""The kinds of Kubernetes itself that nearly every controller meets, by kind: ``CORE["Secret"]``."""


@dataclass(frozen=True, slots=True)
class _GroupVersion:
    """What discovery said about one group version, when (monotonic seconds), and how long that answers a question
    for what isn't in it.
    """

    by_kind: Mapping[str, ResourceRef]
    by_plural: Mapping[str, ResourceRef]
    verbs: Mapping[str, frozenset[str]]
    learned: float
    patience: float


class RESTMapper:
    """From (apiVersion, kind) to the resource that serves it.

    What the server once said is kept for ``ttl`` seconds (default 10 minutes). A question without an answer asks
    the server again: soon at first, for the CRD may have been applied a moment ago, then at growing distances up to
    ``retry`` seconds (default 1). So a loop over manifests whose CRD is missing costs one request a second, and a CRD
    that appears is found within one.
    """

    def __init__(self, client: Client, *, ttl: float = 600.0, retry: float = 1.0) -> None:
        self._client = client
        self._ttl = ttl
        self._retry = retry
        self._known: dict[str, _GroupVersion] = {}
        self._groups: tuple[float, dict[str, tuple[str, ...]]] | None = None
        self._locks: dict[str, asyncio.Lock] = {}

    async def ref(self, api_version: str, kind: str) -> ResourceRef:
        """The resource that serves a kind. Raises ``NoMatch`` where the server has none, ``KubeError`` as the
        client does.
        """
        found = await self._find(api_version, lambda known: known.by_kind.get(kind))
        if found is None:
            raise NoMatch(f"no matches for kind {kind!r} in version {api_version!r}")
        return found

    async def by_plural(self, group: str, version: str, plural: str) -> ResourceRef:
        """The resource of this plural name; an empty version means the group's preferred one that has it."""
        versions = (version,) if version else (await self.groups()).get(group, ())
        for candidate in versions:
            api_version = f"{group}/{candidate}" if group else candidate
            found = await self._find(api_version, lambda known: known.by_plural.get(plural))
            if found is not None:
                return found
        raise NoMatch(f"the server doesn't have a resource type {plural!r} in group {group!r} version {version!r}")

    async def by_group_kind(self, group: str, kind: str) -> ResourceRef:
        """The resource of a kind in the group's preferred version that has it (what a field like ``objectRef``
        needs).
        """
        for version in (await self.groups()).get(group, ()):
            found = await self._find(f"{group}/{version}" if group else version, lambda known: known.by_kind.get(kind))
            if found is not None:
                return found
        raise NoMatch(f"no matches for kind {kind!r} in group {group!r}")

    async def verbs(self, ref: ResourceRef) -> frozenset[str]:
        """The verbs that the server offers on a resource; empty when it isn't served."""
        known = await self._learn(ref.api_version, monotonic() - self._ttl)
        return known.verbs.get(ref.plural, frozenset())

    async def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Every group of the server with its versions, the preferred one first."""
        if self._groups is None or self._groups[0] < monotonic() - self._ttl:
            core = await self._client.request_json("GET", "/api")
            groups: dict[str, tuple[str, ...]] = {"": tuple(core.get("versions") or ())}
            document = await self._client.request_json("GET", "/apis")
            for group in document.get("groups") or ():
                versions = [entry["version"] for entry in group.get("versions") or ()]
                preferred = (group.get("preferredVersion") or {}).get("version")
                if preferred in versions:
                    versions.remove(preferred)
                    versions.insert(0, preferred)
                groups[group["name"]] = tuple(versions)
            self._groups = (monotonic(), groups)
        return self._groups[1]

    def invalidate(self, api_version: str | None = None) -> None:
        """Forget one group version, or everything: the next question asks the server."""
        self._groups = None
        if api_version is None:
            self._known.clear()
        else:
            self._known.pop(api_version, None)

    async def _find(self, api_version: str, pick: Any) -> ResourceRef | None:
        now = monotonic()
        known = await self._learn(api_version, now - self._ttl)
        found: ResourceRef | None = pick(known)
        if found is None:
            found = pick(await self._learn(api_version, now - known.patience))
        return found

    async def _learn(self, api_version: str, not_before: float) -> _GroupVersion:
        """Discovery of one group version, not older than the given time; concurrent questions share one request."""
        known = self._known.get(api_version)
        if known is not None and known.learned >= not_before:
            return known
        async with self._locks.setdefault(api_version, asyncio.Lock()):
            known = self._known.get(api_version)
            if known is not None and known.learned >= not_before:
                return known
            prefix = "/apis/" if "/" in api_version else "/api/"
            try:
                document = await self._client.request_json("GET", prefix + api_version)
            except NotFound:
                document = {}
            except ApiError as error:
                if known is not None and error.code >= 500:
                    return known  # an extension server that is down for a moment keeps its last description
                raise
            learned = _decode(api_version, document, self._patience(known))
            self._known[api_version] = learned
            return learned

    def _patience(self, before: _GroupVersion | None) -> float:
        """How long an answer stands for what it lacks: doubled while it is asked for in a row, else the shortest."""
        if before is None or monotonic() - before.learned > 2 * self._retry:
            return self._retry / 32
        return min(2 * before.patience, self._retry)


def _decode(api_version: str, document: Mapping[str, Any], patience: float) -> _GroupVersion:
    group, _, version = api_version.rpartition("/")
    by_kind: dict[str, ResourceRef] = {}
    by_plural: dict[str, ResourceRef] = {}
    verbs: dict[str, frozenset[str]] = {}
    for entry in document.get("resources") or ():
        plural = entry["name"]
        if "/" in plural:
            continue  # subresources: they share the kind of something else
        ref = ResourceRef(group, version, plural, bool(entry.get("namespaced")), entry["kind"])
        by_kind.setdefault(ref.kind, ref)
        by_plural[plural] = ref
        verbs[plural] = frozenset(entry.get("verbs") or ())
    return _GroupVersion(by_kind, by_plural, verbs, monotonic(), patience)
