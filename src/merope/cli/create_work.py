"""``merope create work``: the same manifests on clusters that are named, or that a placement has selected."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from merope.api.cluster.v1beta1 import Placement, PlacementDecision
from merope.api.work.v1 import ManifestWork
from merope.api.work.v1alpha1 import ManifestWorkReplicaSet
from merope.cli.access import Access, tell_each, warn
from merope.cli.refusal import Refused
from merope.kube import AlreadyExists, Client, KubeError, ref_of
from merope.sdk.decisions import PLACEMENT_LABEL, decided_clusters

Manifest = dict[str, Any]

#: On works that were made for a placement: which one. Only these are deleted where it no longer selects the cluster.
PLACEMENT_ANNOTATION: Final = "merope.open-cluster-management.io/created-for-placement"


@dataclass(frozen=True, slots=True)
class Place:
    """The name of a placement."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def parse_placement(text: str) -> Place:
    """The placement that ``NAMESPACE/NAME`` names. Raises Refused."""
    parts = text.split("/")
    if len(parts) != 2 or not all(parts):
        raise Refused(f"the name of the placement {text} must be in the format of <namespace>/<name>")
    return Place(*parts)


def new_work(name: str, cluster: str, manifests: Sequence[Manifest], place: Place | None = None) -> Manifest:
    """The work to be created in a cluster's namespace."""
    annotations = {"annotations": {PLACEMENT_ANNOTATION: str(place)}} if place else {}
    return {
        "metadata": {"name": name, "namespace": cluster, **annotations},
        "spec": {"workload": {"manifests": list(manifests)}},
    }


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of the works of one name: the clusters where they are made, changed, deleted, or left alone.

    ``foreign``: works on clusters that are not selected, which were not made for this placement.
    """

    create: Sequence[str]
    update: Sequence[str]
    delete: Sequence[str]
    foreign: Sequence[str]


def plan(selected: Iterable[str], existing: Iterable[Mapping[str, Any]], place: Place) -> Plan:
    """What brings the works of one name onto exactly the selected clusters; each part sorted."""
    wanted = set(selected)
    owners = {
        work["metadata"]["namespace"]: (work["metadata"].get("annotations") or {}).get(PLACEMENT_ANNOTATION)
        for work in existing
    }
    elsewhere = sorted(owners.keys() - wanted)
    return Plan(
        create=sorted(wanted - owners.keys()),
        update=sorted(wanted & owners.keys()),
        delete=[cluster for cluster in elsewhere if owners[cluster] == str(place)],
        foreign=[cluster for cluster in elsewhere if owners[cluster] != str(place)],
    )


def on_clusters(
    access: Access, name: str, manifests: Sequence[Manifest], clusters: Sequence[str], *, overwrite: bool
) -> None:
    """Make the work on each of ``clusters``; one that is there is refused, or with ``overwrite`` changed."""

    async def run() -> None:
        async with access.hub() as client:

            async def make(cluster: str) -> str:
                try:
                    return await _create(client, access, new_work(name, cluster, manifests))
                except AlreadyExists:
                    if not overwrite:
                        raise Refused(f"work {name} in cluster {cluster} already exists") from None
                    return await _update(client, access, name, cluster, manifests)

            await tell_each(clusters, make)

    asyncio.run(run())


def on_placement(access: Access, name: str, manifests: Sequence[Manifest], place: Place, *, overwrite: bool) -> None:
    """Make the work on the clusters that a placement has selected by now.

    With ``overwrite`` the works that are there get these manifests, too, and those of clusters that the placement no
    longer selects are deleted.
    """

    async def run() -> None:
        async with access.hub() as client:
            todo = plan(
                await _selected(client, place),
                await client.list(ref_of(ManifestWork), field_selector=f"metadata.name={name}"),
                place,
            )
            for cluster in todo.foreign:
                warn(f"work {name} in cluster {cluster} was not made for placement {place}: it stays as it is")
            if overwrite:
                await tell_each(todo.delete, lambda cluster: _delete(client, access, name, cluster))
                await tell_each(todo.update, lambda cluster: _update(client, access, name, cluster, manifests))
            else:
                for cluster in todo.update:
                    print(f"work {name} in cluster {cluster} already exists")
            await tell_each(
                todo.create, lambda cluster: _create(client, access, new_work(name, cluster, manifests, place))
            )

    asyncio.run(run())


def as_replica_set(access: Access, name: str, manifests: Sequence[Manifest], place: Place, *, overwrite: bool) -> None:
    """Make a ManifestWorkReplicaSet beside the placement: a hub with its controller then keeps the works."""
    spec = {
        "manifestWorkTemplate": {"workload": {"manifests": list(manifests)}},
        "placementRefs": [{"name": place.name}],
    }
    ref = ref_of(ManifestWorkReplicaSet)

    async def run() -> None:
        async with access.hub() as client:
            obj = {"metadata": {"name": name, "namespace": place.namespace}, "spec": spec}
            try:
                await client.create(ref, obj, dry_run=access.dry_run)
            except AlreadyExists:
                if not overwrite:
                    raise Refused(
                        f"manifestworkreplicaset {name} in namespace {place.namespace} already exists"
                    ) from None
                await client.patch(ref, name, {"spec": spec}, namespace=place.namespace, dry_run=access.dry_run)
                print(f"update manifestworkreplicaset {name} in namespace {place.namespace}")
            else:
                print(f"create manifestworkreplicaset {name} in namespace {place.namespace}")
            warn("merope's hub has no controller for ManifestWorkReplicaSets yet; without -r works are made at once")

    asyncio.run(run())


async def _selected(client: Client, place: Place) -> list[str]:
    try:
        await client.fetch(Placement, place.name, place.namespace)
    except KubeError as error:
        raise Refused(f"failed to get placement {error}") from None
    decisions = await client.list(
        ref_of(PlacementDecision), place.namespace, label_selector=f"{PLACEMENT_LABEL}={place.name}"
    )
    return [cluster for decision in decisions for cluster in decided_clusters(decision)]


async def _create(client: Client, access: Access, work: Manifest) -> str:
    await client.create(ref_of(ManifestWork), work, dry_run=access.dry_run)
    return f"create work {work['metadata']['name']} in cluster {work['metadata']['namespace']}"


async def _update(client: Client, access: Access, name: str, cluster: str, manifests: Sequence[Manifest]) -> str:
    patch = {"spec": {"workload": {"manifests": list(manifests)}}}
    await client.patch(ref_of(ManifestWork), name, patch, namespace=cluster, dry_run=access.dry_run)
    return f"update work {name} in cluster {cluster}"


async def _delete(client: Client, access: Access, name: str, cluster: str) -> str:
    await client.delete(ref_of(ManifestWork), name, cluster, missing_ok=True, dry_run=access.dry_run)
    return f"delete work {name} in cluster {cluster}"
