"""``merope clusterset``: making sets, putting clusters into them, binding them to namespaces, taking them away."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from merope.api.cluster.v1 import ManagedCluster
from merope.api.cluster.v1beta2 import ManagedClusterSet, ManagedClusterSetBinding
from merope.cli.access import Access, gone, warn
from merope.cli.refusal import Refused
from merope.kube import AlreadyExists, Client, Conflict, KubeError, NotFound, ref_of
from merope.sdk.clustersets import CLUSTER_SET_LABEL, is_exclusive

#: Sets that the hub makes itself, again and again.
BUILT_IN: Final = ("default", "global")
_TRIES: Final = 3


def create(access: Access, name: str) -> None:
    """Make a set that clusters belong to by label."""

    async def run() -> None:
        async with access.hub() as client:
            try:
                await client.create(ref_of(ManagedClusterSet), {"metadata": {"name": name}}, dry_run=access.dry_run)
            except AlreadyExists:
                raise Refused(f"Clusterset {name} is already created") from None
        print(f"Clusterset {name} is created")

    asyncio.run(run())


def delete(access: Access, name: str) -> None:
    """Delete a set that no namespace is bound to, and wait until it is gone."""
    if name in BUILT_IN:
        raise Refused(f"Clusterset {name} can not be deleted")

    async def run() -> None:
        async with access.hub() as client:
            try:
                found = await client.fetch(ManagedClusterSet, name)
            except NotFound:
                raise Refused(f"Clusterset {name} not found or is already deleted") from None
            bound = bound_namespaces(name, await client.list(ref_of(ManagedClusterSetBinding)))
            if bound:
                raise Refused(
                    f"Clusterset {name} still bind to a namespace! Please unbind before deleted. "
                    f"(merope clusterset unbind {name} --namespace {bound[0]})"
                )
            at_once = await client.delete(ManagedClusterSet, name, uid=found.uid, dry_run=access.dry_run)
            if not (at_once or access.dry_run):
                try:
                    async with asyncio.timeout(access.timeout):
                        await gone(client, ManagedClusterSet, name, uid=found.uid)
                except TimeoutError:
                    raise Refused(
                        f"Clusterset {name} is still being deleted after {access.timeout:g} s: "
                        "its finalizers wait for the hub's controllers"
                    ) from None
        print(f"Clusterset {name} is deleted")

    asyncio.run(run())


def bound_namespaces(name: str, bindings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The namespaces that a set is bound to."""
    return sorted(
        binding["metadata"]["namespace"]
        for binding in bindings
        if name in (binding["metadata"]["name"], (binding.get("spec") or {}).get("clusterSet"))
    )


def set_members(access: Access, name: str, clusters: Sequence[str], namespaces: Sequence[str]) -> None:
    """Put clusters into a set, and add namespaces that the set has on all its clusters."""
    if not clusters and not namespaces:
        raise Refused("at least one cluster (--clusters) or namespace (--namespaces) must be specified")

    async def run() -> None:
        async with access.hub() as client:
            found = await client.get(ref_of(ManagedClusterSet), name)
            if clusters and not is_exclusive(found.get("spec")):
                warn(f"Clusterset {name} selects clusters by other labels: being set to it has no effect")
            for cluster in clusters:
                await _set_cluster(client, name, cluster, dry_run=access.dry_run)
            if namespaces:
                await _add_namespaces(client, name, namespaces, dry_run=access.dry_run)

    asyncio.run(run())


async def _set_cluster(client: Client, name: str, cluster: str, *, dry_run: bool) -> None:
    found = await client.fetch(ManagedCluster, cluster)
    before = found.labels.get(CLUSTER_SET_LABEL, "")
    if before == name:
        print(f"Cluster {cluster} is already in Clusterset {name}")
        return
    patch = {"metadata": {"labels": {CLUSTER_SET_LABEL: name}}}
    await client.patch(ManagedCluster, cluster, patch, dry_run=dry_run)
    if before:
        print(f"Cluster {cluster} is set, from ClusterSet {before} to Clusterset {name}")
    else:
        print(f"Cluster {cluster} is set to Clusterset {name}")


def new_namespaces(present: Sequence[str], wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """Of the ``wanted`` managed namespaces those to be added, and those that a set has already."""
    names = list(dict.fromkeys(wanted))
    return [name for name in names if name not in present], [name for name in names if name in present]


async def _add_namespaces(client: Client, name: str, wanted: Sequence[str], *, dry_run: bool) -> None:
    given = [each.strip() for each in wanted]
    print(f"Processing managed namespaces: [{' '.join(given)}]")
    if "" in given:
        print("Warning: Empty namespace name provided, skipping", file=sys.stderr)
    for attempt in range(_TRIES):
        found = await client.get(ref_of(ManagedClusterSet), name)
        entries = list((found.get("spec") or {}).get("managedNamespaces") or ())
        added, known = new_namespaces([entry.get("name", "") for entry in entries], [each for each in given if each])
        if not attempt:
            for each in known:
                print(f"Managed namespace {each} already exists in Clusterset {name}")
        if not added:
            print(
                f"All specified namespaces already exist in Clusterset {name}"
                if known
                else f"No changes made to Clusterset {name}"
            )
            return
        entries += [{"name": each} for each in added]
        # The list is replaced as a whole: the version makes sure that nobody has changed it meanwhile.
        version = found["metadata"]["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version}, "spec": {"managedNamespaces": entries}}
        try:
            await client.patch(ref_of(ManagedClusterSet), name, patch, dry_run=dry_run)
        except Conflict as error:
            if attempt == _TRIES - 1:
                raise Refused(f"failed to update clusterset with managed namespaces: {error}") from None
            continue
        except KubeError as error:
            raise Refused(f"failed to update clusterset with managed namespaces: {error}") from None
        print(f"Successfully updated Clusterset {name}")
        print(f"Added {len(added)} managed namespace(s): {', '.join(added)}")
        print(f"Total managed namespaces in clusterset: {len(entries)}")
        return


def bind(access: Access, name: str, namespace: str) -> None:
    """Let a namespace use a set: its placements may select the set's clusters."""
    _check_namespace(namespace)

    async def run() -> None:
        async with access.hub() as client:
            await client.fetch(ManagedClusterSet, name)
            binding = {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterSet": name}}
            try:
                await client.create(ref_of(ManagedClusterSetBinding), binding, dry_run=access.dry_run)
            except AlreadyExists:
                print(f"Clusterset {name} is already bound to Namespace {namespace}")
            else:
                print(f"Clusterset {name} is bound to Namespace {namespace}")

    asyncio.run(run())


def unbind(access: Access, name: str, namespace: str) -> None:
    """Take a set away from a namespace."""
    _check_namespace(namespace)

    async def run() -> None:
        async with access.hub() as client:
            await client.fetch(ManagedClusterSet, name)
            await client.delete(ManagedClusterSetBinding, name, namespace, missing_ok=True, dry_run=access.dry_run)
        print(f"Clusterset {name} is unbind from namespace {namespace}")

    asyncio.run(run())


def _check_namespace(namespace: str) -> None:
    if not namespace:
        raise Refused("namespace name must be specified in --namespace")
