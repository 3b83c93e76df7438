"""``merope get hub-info``: what a hub consists of, as its operator and its definitions tell."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from merope.cli.access import Access, together
from merope.kube import CORE, Client, NotFound, ResourceRef
from merope.operator import OPERATOR_NAMESPACE

Manifest = Mapping[str, Any]

_CLUSTER_MANAGER: Final = ResourceRef(
    "operator.open-cluster-management.io", "v1", "clustermanagers", False, "ClusterManager"
)
_NAME: Final = "cluster-manager"
_OPERATOR_CRD: Final = "clustermanagers.operator.open-cluster-management.io"
#: Sections with their lines: label and the component whose Deployment is ``<ClusterManager>-<component>``.
_COMPONENTS: Final = (
    ("AddOn Manager", (("Controller", "addon-manager-controller"),)),
    ("Registration", (("Controller", "registration-controller"), ("Webhook", "registration-webhook"))),
    ("Work", (("Controller", "work-controller"), ("Webhook", "work-webhook"))),
    ("Placement", (("Controller", "placement-controller"),)),
)


@dataclass(frozen=True, slots=True)
class HubInfo:
    """What was found: None and nothing where it is absent.

    ``deployments``: those of the components, by name. ``definitions``: all that belong to OCM.
    """

    operator: Manifest | None
    cluster_manager: Manifest | None
    deployments: Mapping[str, Manifest]
    definitions: Sequence[Manifest]


def get_hub_info(access: Access) -> None:
    """Print the operator, the components and the definitions of a hub."""
    for line in lines(asyncio.run(_find(access))):
        print(line)


async def _find(access: Access) -> HubInfo:
    async with access.hub() as client:
        operator, manager = await together(
            _maybe(client, CORE["Deployment"], _NAME, OPERATOR_NAMESPACE),
            _maybe(client, _CLUSTER_MANAGER, _NAME),
        )
        definitions = await client.list(CORE["CustomResourceDefinition"])
        related = [
            (each["name"], each.get("namespace"))
            for each in ((manager or {}).get("status") or {}).get("relatedResources") or ()
            if each.get("resource") == "deployments" and each.get("name")
        ]
        found = await together(*(_maybe(client, CORE["Deployment"], name, where) for name, where in related))
    deployments = {name: each for (name, _), each in zip(related, found, strict=True) if each is not None}
    return HubInfo(operator, manager, deployments, definitions)


async def _maybe(client: Client, ref: ResourceRef, name: str, namespace: str | None = None) -> dict[str, Any] | None:
    try:
        return await client.get(ref, name, namespace)
    except NotFound:
        return None


def lines(info: HubInfo) -> Iterator[str]:
    """What is printed: two spaces a level, a tab after each label, counts as available/desired."""
    own = [each for each in info.definitions if each["metadata"]["name"] == _OPERATOR_CRD]
    if info.operator is None:
        yield "Registration Operator:\t<none>"
    else:
        yield "Registration Operator:"
        yield f"  Controller:\t{_state(info.operator)}"
        yield "  CustomResourceDefinition:"
        yield f"    {_definition(own[0])}" if own else f"    (absent) {_OPERATOR_CRD}"
    if info.cluster_manager is None:
        yield "Components:\t<uninstalled>"
    else:
        yield "Components:"
        manager = info.cluster_manager["metadata"]["name"]
        for section, parts in _COMPONENTS:
            present = [(label, info.deployments.get(f"{manager}-{component}")) for label, component in parts]
            if any(deployment is not None for _, deployment in present):
                yield f"  {section}:"
                yield from (f"    {label}:\t{_state(each)}" for label, each in present if each is not None)
    served = [each for each in info.definitions if _belongs(each) and each not in own]
    if served:
        yield "  CustomResourceDefinition:"
        yield from sorted(f"    {_definition(each)}" for each in served)


def _belongs(definition: Manifest) -> bool:
    return str(definition["spec"]["group"]).endswith("open-cluster-management.io")


def _state(deployment: Manifest) -> str:
    available = (deployment.get("status") or {}).get("availableReplicas", 0)
    spec = deployment.get("spec") or {}
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or [{}]
    return f"({available}/{spec.get('replicas', 1)}) {containers[-1].get('image', '')}".rstrip()


def _definition(definition: Manifest) -> str:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    established = any(each.get("type") == "Established" and each.get("status") == "True" for each in conditions)
    versions = "|".join(
        f"{'*' if version.get('storage') else ''}{version['name']}" for version in definition["spec"]["versions"]
    )
    return f"({'installed' if established else 'absent'}) {definition['metadata']['name']} [{versions}]"
