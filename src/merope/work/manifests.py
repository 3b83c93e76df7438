"""The manifests of a work: what they name, in which order they are applied, and the settings that are theirs.

Pure functions over raw objects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

from merope.kube import Manifest

_RANKS: Final[Mapping[str, int]] = {
    kind: rank
    for rank, kinds in enumerate(
        (
            "PriorityClass Namespace CustomResourceDefinition StorageClass PersistentVolume PodSecurityPolicy",
            "ClusterRole ClusterRoleBinding Role RoleBinding",
            "NetworkPolicy ResourceQuota LimitRange PodDisruptionBudget ServiceAccount",
            "Secret ConfigMap PersistentVolumeClaim",
            "Service",
            "DaemonSet Pod ReplicationController ReplicaSet Deployment HorizontalPodAutoscaler StatefulSet Job CronJob",
            "APIService MutatingWebhookConfiguration ValidatingWebhookConfiguration ValidatingAdmissionPolicy "
            "ValidatingAdmissionPolicyBinding",
        )
    )
    for kind in kinds.split()
}
_OTHERS: Final = 1000
_UNPARSEABLE: Final = 1001


class Target(NamedTuple):
    """The object that a manifest stands for, as ``resourceMeta`` has it."""

    ordinal: int
    group: str = ""
    version: str = ""
    kind: str = ""
    resource: str = ""
    name: str = ""
    namespace: str = ""

    @property
    def identity(self) -> tuple[str, ...]:
        """Everything but the place in the work."""
        return self[1:]

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def meta(self) -> dict[str, Any]:
        """``resourceMeta``, all fields written."""
        return self._asdict()


def target(meta: Mapping[str, Any]) -> Target:
    """From ``resourceMeta``, where empty fields may be absent."""
    return Target(
        int(meta.get("ordinal") or 0),
        *(str(meta.get(name) or "") for name in ("group", "version", "kind", "resource", "name", "namespace")),
    )


class InvalidManifest(ValueError):
    """A manifest that is no object of the Kubernetes API."""


def parse(ordinal: int, manifest: Any) -> Target:
    """What a manifest names, ``resource`` still empty. Raises InvalidManifest."""
    if not isinstance(manifest, Mapping):
        raise InvalidManifest(f"manifest {ordinal} is not an object")
    kind = manifest.get("kind")
    if not isinstance(kind, str) or not kind:
        raise InvalidManifest("Object 'Kind' is missing")
    api_version = manifest.get("apiVersion")
    metadata = manifest.get("metadata")
    if not isinstance(metadata, Mapping):
        metadata = {}
    group, _, version = (api_version if isinstance(api_version, str) else "").rpartition("/")
    name, namespace = metadata.get("name"), metadata.get("namespace")
    return Target(
        ordinal,
        group,
        version,
        kind,
        "",
        name if isinstance(name, str) else "",
        namespace if isinstance(namespace, str) else "",
    )


def rank(kind: str) -> int:
    """When a kind is applied: lower ranks first. An empty kind (an unreadable manifest) comes last."""
    return _RANKS.get(kind, _OTHERS) if kind else _UNPARSEABLE


# --- settings --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """What ``manifestConfigs`` say about one manifest; raw parts of the work."""

    update_strategy: Mapping[str, Any] = field(default_factory=dict)
    feedback_rules: Sequence[Mapping[str, Any]] = ()
    condition_rules: Sequence[Mapping[str, Any]] = ()
    watched: bool = False
    """Whether feedback is to be watched, not polled."""

    @property
    def strategy(self) -> str:
        return str(self.update_strategy.get("type") or "Update")


_NO_SETTINGS: Final = Settings()


def settings(configs: Sequence[Mapping[str, Any]] | None, named: Target) -> Settings:
    """The settings of one manifest: each from the first matching entry that has it, scraping from the last one."""
    strategy: Mapping[str, Any] | None = None
    feedback: Sequence[Mapping[str, Any]] = ()
    rules: Sequence[Mapping[str, Any]] = ()
    scrape = ""
    for config in configs or ():
        if not matches(config.get("resourceIdentifier") or {}, named):
            continue
        rules = rules or config.get("conditionRules") or ()
        feedback = feedback or config.get("feedbackRules") or ()
        if strategy is None and config.get("updateStrategy"):
            strategy = config["updateStrategy"]
        scrape = config.get("feedbackScrapeType") or scrape
    if strategy is None and not feedback and not rules:
        return _NO_SETTINGS
    return Settings(strategy or {}, feedback, rules, scrape == "Watch")


def matches(identifier: Mapping[str, Any], named: Target) -> bool:
    """Whether an entry is about this object: group and resource equal, name and namespace by pattern."""
    return (
        (identifier.get("group") or "") == named.group
        and identifier.get("resource") == named.resource
        and glob(identifier.get("namespace") or "", named.namespace)
        and glob(identifier.get("name") or "", named.name)
    )


def glob(pattern: str, text: str) -> bool:
    """``*`` in the pattern stands for anything; an empty pattern for the empty text only."""
    return _pattern(pattern).fullmatch(text) is not None if "*" in pattern else pattern == text


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, re.split(r"\*+", pattern))), re.DOTALL)


def owned(delete_option: Mapping[str, Any] | None, named: Target) -> bool:
    """Whether the object is deleted with its work."""
    if not delete_option:
        return True
    policy = delete_option.get("propagationPolicy")
    if policy == "Orphan":
        return False
    if policy != "SelectivelyOrphan":
        return True
    rules = (delete_option.get("selectivelyOrphans") or {}).get("orphaningRules") or ()
    identity = (named.group, named.resource, named.namespace, named.name)
    return all(
        identity
        != (
            rule.get("group") or "",
            rule.get("resource") or "",
            rule.get("namespace") or "",
            rule.get("name") or "",
        )
        for rule in rules
    )


# --- removal orders in metadata --------------------------------------------------------------------------------------


def without_removals(manifest: Manifest) -> Manifest:
    """A manifest as it is created: labels, annotations and owners that are orders to remove are left out."""
    metadata = dict(manifest.get("metadata") or {})
    for name in ("labels", "annotations"):
        values = metadata.get(name)
        if isinstance(values, Mapping):
            metadata[name] = {key: value for key, value in values.items() if not key.endswith("-")}
    owners = metadata.get("ownerReferences")
    if isinstance(owners, list):
        metadata["ownerReferences"] = [owner for owner in owners if not str(owner.get("uid") or "").endswith("-")]
        if not metadata["ownerReferences"]:
            del metadata["ownerReferences"]
    return {**manifest, "metadata": metadata}
