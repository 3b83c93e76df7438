"""Custom resources: what their bodies cost before they reach the store, on a ManifestWork of about 4.8 kB.

    python bench/validate.py [--json] [--gate]

Times are microseconds of CPU in one process, the best of several rounds. ``body`` is everything together: coercion,
pruning, nulls, defaults, schema, list types, rules. ``walk`` is validation without jsonschema-rs. With --gate the
command fails where a figure is more than twice its target.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import orjson

from merope.api.crds import crds
from merope.controlplane.crd import gate, structural, validation
from merope.controlplane.crd.definitions import STRATEGIES
from merope.controlplane.crd.listtypes import check_list_types
from merope.controlplane.crd.resources import Served, _resource
from merope.controlplane.crd.rules import check_rules
from merope.controlplane.crd.schemas import CompiledSchema
from merope.controlplane.crd.values import NOTHING
from merope.controlplane.resource import Options, Request, UserInfo
from merope.controlplane.scheme import catalogue

NAME = "manifestworks.work.open-cluster-management.io"

#: Name of a figure: target in microseconds.
TARGETS: dict[str, float] = {
    "clean_us": 25,
    "default_us": 2,
    "schema_us": 10,
    "list_types_us": 8,
    "walk_us": 200,
    "body_us": 60,
    "compile_us": 5_000,
    "definition_us": 15_000,
}


def work() -> dict[str, Any]:
    """A ManifestWork with three Deployments and the status that an agent reports."""

    def deployment(number: int) -> dict[str, Any]:
        environment = [{"name": f"VARIABLE_{i}", "value": "value" * 6} for i in range(10)]
        container = {"name": "main", "image": "registry.example.com/team/app:1.2.3", "env": environment}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": f"app{number}", "namespace": "default"},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [container]}}},
        }

    def condition(kind: str) -> dict[str, Any]:
        return {
            "type": kind,
            "status": "True",
            "reason": f"Manifest{kind}",
            "message": "All is well",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }

    def reported(number: int) -> dict[str, Any]:
        return {
            "conditions": [condition("Applied"), condition("Available")],
            "resourceMeta": {
                "group": "apps",
                "version": "v1",
                "kind": "Deployment",
                "resource": "deployments",
                "name": f"app{number}",
                "namespace": "default",
                "ordinal": number,
            },
            "statusFeedback": {"values": [{"name": "ReadyReplicas", "fieldValue": {"type": "Integer", "integer": 2}}]},
        }

    return {
        "apiVersion": "work.open-cluster-management.io/v1",
        "kind": "ManifestWork",
        "metadata": {"name": "work", "namespace": "cluster1", "labels": {"team": "a"}},
        "spec": {
            "workload": {"manifests": [deployment(i) for i in range(3)]},
            "deleteOption": {"propagationPolicy": "Foreground"},
        },
        "status": {
            "conditions": [condition("Applied"), condition("Available")],
            "resourceStatus": {"manifests": [reported(i) for i in range(3)]},
        },
    }


def best_of(function: Callable[[], Any], *, rounds: int = 7, seconds: float = 0.05) -> float:
    """Microseconds of one call in the best round."""
    function()
    start = time.perf_counter()
    function()
    calls = max(1, int(seconds / max(time.perf_counter() - start, 1e-7)))
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            function()
        best = min(best, (time.perf_counter() - start) / calls)
    return best * 1e6


def measure() -> dict[str, float]:
    graph = catalogue.load().graph
    server: Any = SimpleNamespace(catalogue=catalogue.load(), now=lambda: "2026-01-01T00:00:00Z")
    crd: Any = next(crd for crd in crds(["work.open-cluster-management.io"]) if crd["metadata"]["name"] == NAME)
    crd = orjson.loads(orjson.dumps(crd))
    strategy = STRATEGIES["apiextensions.k8s.io", "CustomResourceDefinition"]
    request: Any = None
    strategy.default(server, request, crd)
    strategy.prepare_create(server, request, crd)
    problems = strategy.validate(server, request, crd, None)
    if problems:
        sys.exit(f"the definition is not valid: {problems[0]}")
    crd["status"]["acceptedNames"] = crd["spec"]["names"]
    resource = _resource(crd, crd["spec"]["versions"][0], Served(crd, server))
    declared = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema = CompiledSchema(declared, graph)
    obj = work()
    accepts = gate.of(schema.declared)
    if accepts is None or not accepts(obj):
        sys.exit("the gate does not accept the work")
    single = Request(UserInfo("bench"), "update", resource, "cluster1", "work", "", Options())
    custom: Any = resource.strategy

    def body() -> None:
        custom.coerce(single, obj)
        custom.default(server, single, obj)
        if custom.validate(server, single, obj, None):
            sys.exit("the work is not valid")

    def compiled() -> None:
        fresh = CompiledSchema(declared, graph)
        structural.clean(fresh.full, obj)
        structural.default(fresh.full, obj)
        structural.validate(fresh.declared, obj)
        check_rules(fresh, obj, None, ())

    return {
        "object_bytes": len(orjson.dumps(obj)),
        "clean_us": best_of(lambda: structural.clean(schema.full, obj)),
        "default_us": best_of(lambda: structural.default(schema.full, obj)),
        "schema_us": best_of(lambda: accepts(obj)),
        "list_types_us": best_of(lambda: check_list_types(schema.declared, obj)),
        "walk_us": best_of(lambda: validation._complaints(schema.declared, obj, NOTHING, "")),
        "body_us": best_of(body),
        "compile_us": best_of(compiled),
        "definition_us": best_of(lambda: strategy.validate(server, request, crd, None)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--gate", action="store_true", help="fail where a figure is more than twice its target")
    arguments = parser.parse_args()
    figures = {name: round(value, 1) for name, value in measure().items()}
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            target = f"   (target {TARGETS[name]:g})" if name in TARGETS else ""
            print(f"{name:16} {value:10.1f}{target}")
    slow = [name for name, target in TARGETS.items() if figures[name] > 2 * target]
    if arguments.gate and slow:
        sys.exit(f"slower than allowed: {', '.join(slow)}")


if __name__ == "__main__":
    main()
