"""The ManagedCluster, created with the bootstrap credential: how a cluster asks to join."""

from __future__ import annotations

import base64
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from merope.api.cluster.v1 import ManagedCluster
from merope.kube import AlreadyExists, Client, Controller, Forbidden, KubeError, Manifest, NotFound, ref_of
from merope.registration.agent.reporting import Reporter, explain, is_refused

_log = logging.getLogger(__name__)

ANNOTATION_PREFIX: Final = "agent.open-cluster-management.io"
_INTERVAL: Final = 3600.0
_TOPIC: Final = "joining"
_CLUSTER: Final = ref_of(ManagedCluster)


class ClusterCreation:
    """Creates the cluster's ManagedCluster where there is none, and completes its client configurations.

    ``client_configs`` are those that the cluster is reachable by; ``decorate`` lets the driver add its own.
    """

    def __init__(
        self,
        hub: Client,
        name: str,
        *,
        annotations: Mapping[str, str],
        client_configs: Sequence[Mapping[str, Any]],
        decorate: Callable[[Manifest], None],
        credential: str,
        reporter: Reporter,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._hub = hub
        self._name = name
        self._annotations = annotations
        self._client_configs = client_configs
        self._decorate = decorate
        self._credential = credential
        self._reporter = reporter
        self._jitter = jitter

    def controller(self) -> Controller[str]:
        """The controller that runs this, at once and then every one to two hours."""
        controller: Controller[str] = Controller("ManagedClusterCreatingController", self.reconcile, workers=1)
        controller.add(self._name)
        return controller

    async def reconcile(self, key: str) -> float | None:
        """One look at the hub; the seconds until the next."""
        try:
            await self._ensure()
        except KubeError as error:
            text = explain(error, self._hub.config.server, self._credential, f"joining as cluster {self._name}")
            pause = self._reporter.problem(_TOPIC, text)
            # Refusals are for a person to remove; what is asked meanwhile is asked slowly.
            return 10.0 if is_refused(error) or isinstance(error, Forbidden) else pause
        self._reporter.solved(_TOPIC, f"the hub {self._hub.config.server} answers again")
        return _INTERVAL * (1 + self._jitter())

    async def _ensure(self) -> None:
        try:
            cluster = await self._hub.get(_CLUSTER, self._name)
        except NotFound:
            wanted = new_cluster(self._name, self._annotations, self._client_configs)
            self._decorate(wanted)
            try:
                await self._hub.create(_CLUSTER, wanted)
            except AlreadyExists:
                return
            _log.info(
                "created ManagedCluster %s on the hub %s; it waits to be accepted: merope accept %s",
                self._name,
                self._hub.config.server,
                self._name,
            )
            return
        before = len((cluster.get("spec") or {}).get("managedClusterClientConfigs") or ())
        add_client_configs(cluster, self._client_configs)
        self._decorate(cluster)
        if len((cluster.get("spec") or {}).get("managedClusterClientConfigs") or ()) > before:
            try:
                await self._hub.update(_CLUSTER, cluster)
            except Forbidden as error:  # bootstrap identities usually may not: the hub has what was created
                _log.info("ManagedCluster %s: client configurations not added: %s", self._name, error.message)


def new_cluster(name: str, annotations: Mapping[str, str], client_configs: Sequence[Mapping[str, Any]]) -> Manifest:
    """The ManagedCluster to create. It carries no labels, and of the annotations only those meant for the hub."""
    metadata: dict[str, Any] = {"name": name}
    kept = {key: value for key, value in annotations.items() if key.startswith(ANNOTATION_PREFIX)}
    for key in sorted(annotations.keys() - kept.keys()):
        _log.warning("--cluster-annotations: %s left out, the prefix %s is needed", key, ANNOTATION_PREFIX)
    if kept:
        metadata["annotations"] = kept
    cluster: Manifest = {
        "apiVersion": _CLUSTER.api_version,
        "kind": _CLUSTER.kind,
        "metadata": metadata,
        "spec": {"hubAcceptsClient": False},
    }
    add_client_configs(cluster, client_configs)
    return cluster


def add_client_configs(cluster: Manifest, client_configs: Sequence[Mapping[str, Any]]) -> None:
    """Adds the client configurations that are missing, judged by URL and CA bundle."""
    spec = cluster.setdefault("spec", {})
    known = list(spec.get("managedClusterClientConfigs") or ())
    for wanted in client_configs:
        if not any(_same(each, wanted) for each in known):
            known.append(dict(wanted))
    if known:
        spec["managedClusterClientConfigs"] = known


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.get("url") == other.get("url") and (one.get("caBundle") or "") == (other.get("caBundle") or "")


def client_configs(urls: Sequence[str], ca: bytes | None) -> list[dict[str, Any]]:
    """How a cluster can be reached: one entry for each external URL, with the CA bundle of its API server."""
    entry = {"caBundle": base64.b64encode(ca).decode()} if ca else {}
    return [{**entry, "url": url} for url in urls]
