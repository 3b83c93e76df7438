"""``merope create placement``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from merope.api.cluster.v1beta1 import Placement
from merope.api.cluster.v1beta2 import ManagedClusterSetBinding
from merope.cli.access import Access, each
from merope.cli.refusal import Refused
from merope.kube import AlreadyExists, Client, NotFound, ref_of
from merope.lang.selectors import (
    DOES_NOT_EXIST,
    DOUBLE_EQUALS,
    EQUALS,
    EXISTS,
    IN,
    NOT_EQUALS,
    NOT_IN,
    Requirement,
    SelectorError,
    parse_label_selector,
)

_OPERATORS: Final[Mapping[str, str]] = {
    IN: "In",
    NOT_IN: "NotIn",
    NOT_EQUALS: "NotIn",
    EXISTS: "Exists",
    DOES_NOT_EXIST: "DoesNotExist",
}


def create_placement(
    access: Access, name: str, namespace: str, spec: Mapping[str, Any], *, overwrite: bool = False
) -> None:
    """Make a placement, or with ``overwrite`` replace the spec of the one that is there."""
    print(asyncio.run(_create(access, name, namespace, spec, overwrite)))


async def _create(access: Access, name: str, namespace: str, spec: Mapping[str, Any], overwrite: bool) -> str:
    async with access.hub() as client:

        async def check_bound(clusterset: str) -> None:
            await client.fetch(ManagedClusterSetBinding, clusterset, namespace)

        await each(list(spec.get("clusterSets") or ()), check_bound)
        manifest = {"metadata": {"name": name, "namespace": namespace}, "spec": dict(spec)}
        try:
            await client.create(ref_of(Placement), manifest, dry_run=access.dry_run)
        except AlreadyExists:
            if not overwrite:
                raise Refused(f"placement {name} already exists") from None
        else:
            return f"Placement '{name}' has been created in '{namespace}' namespace"
        await _replace(client, name, namespace, spec, dry_run=access.dry_run)
        return f"Placement '{name}' of '{namespace}' namespace has been updated"


async def _replace(client: Client, name: str, namespace: str, spec: Mapping[str, Any], *, dry_run: bool) -> None:
    try:
        found = await client.get(ref_of(Placement), name, namespace)
    except NotFound:
        raise Refused(f"placement {name} was deleted meanwhile: run the command again") from None
    await client.update(ref_of(Placement), found | {"spec": dict(spec)}, dry_run=dry_run)


def placement_spec(
    clustersets: Sequence[str], selectors: Sequence[str], count: int, prioritizers: Sequence[str]
) -> dict[str, Any]:
    """The spec that the flags ask for. Raises Refused where one of them cannot be understood.

    Each of the ``selectors`` is a predicate of its own, of which a cluster has to match one; within it, all that is
    separated by commas has to hold.
    """
    spec: dict[str, Any] = {}
    if clustersets:
        spec["clusterSets"] = list(clustersets)
    if selectors:
        spec["predicates"] = [
            {"requiredClusterSelector": {"labelSelector": _label_selector(selector)}} for selector in selectors
        ]
    if count > 0:
        spec["numberOfClusters"] = count
    if prioritizers:
        spec["prioritizerPolicy"] = {
            "mode": "Additive",
            "configurations": [_prioritizer(each) for each in prioritizers],
        }
    return spec


def _label_selector(text: str) -> dict[str, Any]:
    try:
        requirements = parse_label_selector(text).requirements
    except SelectorError as error:
        raise Refused(f"failed to parse selector {text}: {error}") from None
    labels: dict[str, str] = {}
    expressions: list[dict[str, Any]] = []
    for one in requirements:
        if one.operator in (EQUALS, DOUBLE_EQUALS) and labels.get(one.key, one.values[0]) == one.values[0]:
            labels[one.key] = one.values[0]
        else:
            expressions.append(_expression(text, one))
    return ({"matchLabels": labels} if labels else {}) | ({"matchExpressions": expressions} if expressions else {})


def _expression(text: str, one: Requirement) -> dict[str, Any]:
    operator = "In" if one.operator in (EQUALS, DOUBLE_EQUALS) else _OPERATORS.get(one.operator)
    if operator is None:
        raise Refused(f"failed to parse selector {text}: a placement's selector cannot compare numbers ({one})")
    values = {"values": list(one.values)} if one.values else {}
    return {"key": one.key, "operator": operator, **values}


def _prioritizer(text: str) -> dict[str, Any]:
    kind, *rest = text.split(":")
    if not rest:
        raise Refused(f"prioritizer {text} format is not correct")
    coordinate: dict[str, Any]
    match kind.lower():
        case "builtin":
            if len(rest) != 2 or not rest[0]:
                raise Refused(f"prioritizer {text} format is not correct, should be Builtin:{{Type}}:{{Weight}}")
            coordinate = {"type": "BuiltIn", "builtIn": rest[0]}
        case "addon":
            if len(rest) != 3 or not (rest[0] and rest[1]):
                raise Refused(
                    f"prioritizer {text} format is not correct, should be Addon:{{Type}}:{{ScoreName}}:{{Weight}}"
                )
            coordinate = {"type": "AddOn", "addOn": {"resourceName": rest[0], "scoreName": rest[1]}}
        case _:
            raise Refused(f"unknown prioritizer type {kind} for {text}")
    try:
        weight = int(rest[-1])
    except ValueError:
        raise Refused(f"weight in prioritizer {text} is not correct: {rest[-1]!r} is no whole number") from None
    return {"scoreCoordinate": coordinate, "weight": weight}
