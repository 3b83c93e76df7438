"""Generate the catalogue of built-in kinds: one compressed file that the control plane reads at start.

What comes in: the OpenAPI definitions of a Kubernetes release (package ``kubernetes-validate``) and the REST mapping
of every resource (package ``lightkube-models``), both in the dependency group ``release``; and the tables below, for
what neither package knows: which resources are served, their short names, categories and priorities, connect
subresources, and the defaults of list keys.

What goes out: ``src/merope/controlplane/scheme/data/catalogue.bin``, two zlib streams of JSON. The first holds the
structure (definitions without descriptions, resources), which every start needs. The second holds the descriptions,
which only OpenAPI documents need. The licences of both sources are written beside it.

    python scripts/generate_catalogue.py            write the file
    python scripts/generate_catalogue.py --check    exit with 1 when the file is not what would be written
"""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import importlib.util
import json
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

RELEASE: Final = "1.36"
DATA: Final = Path(__file__).parent.parent / "src" / "merope" / "controlplane" / "scheme" / "data"
TARGET: Final = DATA / "catalogue.bin"

Schema = dict[str, Any]


class Served(NamedTuple):
    """A group version: its place in discovery, and its resources (plural: "short names; categories")."""

    group: str
    version: str
    group_priority: int
    version_priority: int
    resources: dict[str, str]


SERVED: Final = (
    Served(
        "",
        "v1",
        18000,
        1,
        {
            "configmaps": "cm",
            "endpoints": "ep",
            "events": "ev",
            "limitranges": "limits",
            "namespaces": "ns",
            "nodes": "no",
            "persistentvolumeclaims": "pvc",
            "persistentvolumes": "pv",
            "pods": "po; all",
            "podtemplates": "",
            "replicationcontrollers": "rc; all",
            "resourcequotas": "quota",
            "secrets": "",
            "serviceaccounts": "sa",
            "services": "svc; all",
        },
    ),
    Served("apiregistration.k8s.io", "v1", 18000, 1, {"apiservices": "; api-extensions"}),
    Served(
        "apps",
        "v1",
        17800,
        15,
        {
            "controllerrevisions": "",
            "daemonsets": "ds; all",
            "deployments": "deploy; all",
            "replicasets": "rs; all",
            "statefulsets": "sts; all",
        },
    ),
    Served("events.k8s.io", "v1", 17750, 15, {"events": "ev"}),
    Served("authentication.k8s.io", "v1", 17700, 15, {"selfsubjectreviews": "", "tokenreviews": ""}),
    Served(
        "authorization.k8s.io",
        "v1",
        17600,
        15,
        {
            "localsubjectaccessreviews": "",
            "selfsubjectaccessreviews": "",
            "selfsubjectrulesreviews": "",
            "subjectaccessreviews": "",
        },
    ),
    Served("autoscaling", "v2", 17500, 30, {"horizontalpodautoscalers": "hpa; all"}),
    Served("autoscaling", "v1", 17500, 15, {"horizontalpodautoscalers": "hpa; all"}),
    Served("batch", "v1", 17400, 15, {"cronjobs": "cj; all", "jobs": "; all"}),
    Served("certificates.k8s.io", "v1", 17300, 15, {"certificatesigningrequests": "csr"}),
    Served(
        "networking.k8s.io",
        "v1",
        17200,
        15,
        {"ingressclasses": "", "ingresses": "ing", "networkpolicies": "netpol"},
    ),
    Served("policy", "v1", 17100, 15, {"poddisruptionbudgets": "pdb"}),
    Served(
        "rbac.authorization.k8s.io",
        "v1",
        17000,
        15,
        {"clusterrolebindings": "", "clusterroles": "", "rolebindings": "", "roles": ""},
    ),
    Served(
        "storage.k8s.io",
        "v1",
        16800,
        15,
        {
            "csidrivers": "",
            "csinodes": "",
            "csistoragecapacities": "",
            "storageclasses": "sc",
            "volumeattachments": "",
            "volumeattributesclasses": "vac",
        },
    ),
    Served(
        "admissionregistration.k8s.io",
        "v1",
        16700,
        15,
        {
            "mutatingwebhookconfigurations": "; api-extensions",
            "validatingadmissionpolicies": "; api-extensions",
            "validatingadmissionpolicybindings": "; api-extensions",
            "validatingwebhookconfigurations": "; api-extensions",
        },
    ),
    Served("apiextensions.k8s.io", "v1", 16700, 15, {"customresourcedefinitions": "crd crds; api-extensions"}),
    Served("scheduling.k8s.io", "v1", 16600, 15, {"priorityclasses": "pc"}),
    Served("coordination.k8s.io", "v1", 16500, 15, {"leases": ""}),
    Served("node.k8s.io", "v1", 16300, 15, {"runtimeclasses": ""}),
    Served("discovery.k8s.io", "v1", 16200, 15, {"endpointslices": ""}),
)

#: Subresources that the source packages leave out: those that connect to something instead of reading an object.
CONNECT: Final = {
    "pods": {
        "attach": ("PodAttachOptions", ["create", "get"]),
        "exec": ("PodExecOptions", ["create", "get"]),
        "portforward": ("PodPortForwardOptions", ["create", "get"]),
        "proxy": ("PodProxyOptions", ["create", "delete", "get", "patch", "update"]),
    }
}

#: Subresources that the newer source package knows and this release does not serve.
NEWER: Final = {("csinodes", "status")}

#: Keys of ``x-kubernetes-list-type: map`` lists that default, so that merging finds items that leave them out.
DEFAULTS: Final = {
    ("io.k8s.api.core.v1.ContainerPort", "protocol"): "TCP",
    ("io.k8s.api.core.v1.ServicePort", "protocol"): "TCP",
}

#: Definitions that requests, answers and discovery documents need beside the kinds themselves.
META: Final = tuple(
    "io.k8s.apimachinery.pkg.apis.meta.v1." + name
    for name in (
        "APIGroup",
        "APIGroupList",
        "APIResourceList",
        "APIVersions",
        "DeleteOptions",
        "Patch",
        "Status",
        "WatchEvent",
    )
)

VERBS: Final = {"post": "create", "put": "update", "global_list": "list", "global_watch": "watch"}
_INT_OR_STRING: Final = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"


class SourcesMissing(Exception):
    """The packages of the group ``release`` are not installed."""


def package_directory(module: str, distribution: str) -> Path:
    """Where a source package lies; it is read, never imported."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise SourcesMissing(distribution)
    return Path(next(iter(spec.submodule_search_locations)))


# --- definitions -------------------------------------------------------------------------------------------------


def read_definitions() -> dict[str, Schema]:
    """All definitions of the release, as the source has them."""
    directory = package_directory("kubernetes_validate", "kubernetes-validate")
    path = directory / "kubernetes-json-schema" / f"v{RELEASE}.0-local" / "_definitions.json"
    definitions: dict[str, Schema] = json.loads(path.read_bytes())["$defs"]
    return definitions


def corrected(schema: Any) -> Any:
    """One schema in the form that Kubernetes publishes.

    The source widens types with null, points references at a file of its own, and narrows apiVersion and kind.
    """
    if not isinstance(schema, dict):
        return schema
    out: Schema = {}
    for key, value in schema.items():
        if key == "type" and isinstance(value, list):
            out["type"] = value[0]
        elif key == "$ref" and isinstance(value, str):
            out["$ref"] = "#/components/schemas/" + value.rpartition("/")[2]
        elif key == "properties":
            # Keys here are names of fields, whatever they look like ("$ref", "default", "enum").
            out["properties"] = {name: corrected_property(name, child) for name, child in value.items()}
        elif key in ("items", "additionalProperties"):
            out[key] = corrected(value)
        else:
            out[key] = value
    return out


def corrected_property(name: str, schema: Schema) -> Schema:
    out: Schema = corrected(schema)
    if name in ("apiVersion", "kind"):
        out.pop("enum", None)
    return out


def reference(schema: Any) -> Iterator[str]:
    """The names of definitions that a schema refers to."""
    if not isinstance(schema, dict):
        return
    if isinstance(schema.get("$ref"), str):
        yield schema["$ref"].rpartition("/")[2]
    for child in (schema.get("properties") or {}).values():
        yield from reference(child)
    for key in ("items", "additionalProperties"):
        yield from reference(schema.get(key))


def reachable(definitions: dict[str, Schema], roots: set[str]) -> set[str]:
    seen: set[str] = set()
    pending = sorted(roots)
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            pending.extend(reference(definitions[name]))
    return seen


def build_definitions(source: dict[str, Schema], roots: set[str]) -> dict[str, Schema]:
    """The corrected definitions that can be reached from ``roots``."""
    definitions = {name: corrected(schema) for name, schema in source.items()}
    definitions[_INT_OR_STRING] = {"format": "int-or-string", "x-kubernetes-int-or-string": True}
    definitions[_QUANTITY] = {"oneOf": [{"type": "string"}, {"type": "number"}]}
    for (name, field), value in DEFAULTS.items():
        definitions[name]["properties"][field]["default"] = value
    served = {(one.group, one.version) for one in SERVED}
    kept = {name: definitions[name] for name in sorted(reachable(definitions, roots))}
    for schema in kept.values():
        kinds = schema.get("x-kubernetes-group-version-kind")
        if kinds:
            schema["x-kubernetes-group-version-kind"] = [k for k in kinds if (k["group"], k["version"]) in served]
    return kept


def split_descriptions(definitions: dict[str, Schema]) -> dict[str, list[Any]]:
    """Take the descriptions out: for each definition its own, and those of its fields by name."""
    taken: dict[str, list[Any]] = {}
    for name, schema in definitions.items():
        own = schema.pop("description", "")
        fields = {
            field: child.pop("description")
            for field, child in (schema.get("properties") or {}).items()
            if "description" in child
        }
        if own or fields:
            taken[name] = [own, fields]
    return taken


# --- resources ---------------------------------------------------------------------------------------------------


class Mapping(NamedTuple):
    """One ``ApiInfo`` of the mapping package."""

    group: str
    version: str
    kind: str
    plural: str
    action: str
    namespaced: bool
    verbs: tuple[str, ...]
    body: tuple[str, str, str]


def read_mapping() -> list[Mapping]:
    """The REST mapping, read from the source text: importing it would need the client library it belongs to."""
    directory = package_directory("lightkube", "lightkube-models") / "resources"
    found: list[Mapping] = []
    for path in sorted(directory.glob("*.py")):
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.ClassDef):
                found.extend(mapping_of(statement))
    return found


def mapping_of(statement: ast.ClassDef) -> Iterator[Mapping]:
    for assignment in statement.body:
        if not isinstance(assignment, ast.Assign) or not isinstance(assignment.value, ast.Call):
            continue
        arguments: dict[str, Any] = {
            str(keyword.arg): tuple(ast.literal_eval(argument) for argument in keyword.value.args)
            if isinstance(keyword.value, ast.Call)
            else ast.literal_eval(keyword.value)
            for keyword in assignment.value.keywords
        }
        body = arguments["resource"]
        group, version, kind = arguments.get("parent") or body
        yield Mapping(
            group,
            version,
            kind,
            arguments["plural"],
            arguments.get("action", ""),
            "Namespaced" in ast.unparse(statement.bases[0]),
            tuple(sorted({VERBS.get(verb, verb) for verb in arguments["verbs"]})),
            body,
        )


def build_resources(source: dict[str, Schema], mapping: list[Mapping]) -> list[Schema]:
    """The served resources in the order of discovery (group and version priority, then name)."""
    schema_names = {
        (one["group"], one["version"], one["kind"]): name
        for name, schema in source.items()
        if len(schema.get("x-kubernetes-group-version-kind", ())) == 1
        for one in schema["x-kubernetes-group-version-kind"]
    }
    resources = []
    ordered = sorted(SERVED, key=lambda one: (-one.group_priority, one.group, -one.version_priority))
    for served in ordered:
        known = {one.plural: one for one in mapping if (one.group, one.version, one.action) == (*served[:2], "")}
        for plural, names in sorted(served.resources.items()):
            one = known[plural]
            short_names, _, categories = names.partition(";")
            subresources: Schema = {
                sub.action: {"kind": list(sub.body), "verbs": list(sub.verbs)}
                for sub in mapping
                if (sub.group, sub.version, sub.plural) == (served.group, served.version, plural)
                and sub.action
                and (plural, sub.action) not in NEWER
            }
            for name, (kind, verbs) in CONNECT.get(plural, {}).items():
                subresources[name] = {"kind": ["", "v1", kind], "verbs": verbs}
            resources.append(
                {
                    "group": served.group,
                    "version": served.version,
                    "priority": [served.group_priority, served.version_priority],
                    "plural": plural,
                    "kind": one.kind,
                    "namespaced": one.namespaced,
                    "verbs": list(one.verbs),
                    "schema": schema_names[(served.group, served.version, one.kind)],
                    "shortNames": short_names.split(),
                    "categories": categories.split(),
                    "subresources": dict(sorted(subresources.items())),
                }
            )
    return resources


def root_definitions(source: dict[str, Schema], resources: list[Schema]) -> set[str]:
    """The definitions of the kinds, of their lists, and of the bodies of subresources."""
    roots = set(META)
    bodies = {tuple(sub["kind"]) for one in resources for sub in one["subresources"].values()}
    for one in resources:
        roots.add(one["schema"])
        if one["schema"] + "List" in source:
            roots.add(one["schema"] + "List")
    for name, schema in source.items():
        kinds = {(k["group"], k["version"], k["kind"]) for k in schema.get("x-kubernetes-group-version-kind", ())}
        if len(kinds) == 1 and kinds & bodies:
            roots.add(name)
    return roots


# --- the file ----------------------------------------------------------------------------------------------------


def compressed(document: Any) -> bytes:
    text = json.dumps(document, separators=(",", ":"), sort_keys=False, ensure_ascii=False)
    return zlib.compress(text.encode(), 9)


def build() -> tuple[Schema, dict[str, list[Any]]]:
    """Both documents of the file: structure and descriptions."""
    source = read_definitions()
    resources = build_resources(source, read_mapping())
    definitions = build_definitions(source, root_definitions(source, resources))
    descriptions = split_descriptions(definitions)
    return {"release": RELEASE, "resources": resources, "definitions": definitions}, descriptions


def licences() -> dict[str, str]:
    """The licence texts of both sources by the file they go to."""
    out = {}
    for distribution, name in (
        ("kubernetes-validate", "LICENSE.kubernetes-validate.txt"),
        ("lightkube-models", "LICENSE.lightkube-models.txt"),
    ):
        metadata = importlib.metadata.distribution(distribution)
        files = [path for path in metadata.files or () if "license" in str(path).lower() and "dist-info" in str(path)]
        out[name] = "\n".join(Path(str(metadata.locate_file(path))).read_text(encoding="utf-8") for path in files)
    return out


def read_back(data: bytes) -> list[Any]:
    """The documents of a written file. Compared instead of the bytes: those depend on the compressing library."""
    documents = []
    while data:
        stream = zlib.decompressobj()
        documents.append(json.loads(stream.decompress(data)))
        data = stream.unused_data
    return documents


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="do not write; exit with 1 when the file is out of date")
    arguments = parser.parse_args()
    try:
        structure, descriptions = build()
    except SourcesMissing as missing:
        print(f"skipped: package {missing} is not installed (dependency group 'release')", file=sys.stderr)
        return 0 if arguments.check else 1
    if arguments.check:
        current = TARGET.exists() and read_back(TARGET.read_bytes()) == [structure, descriptions]
        print(f"{TARGET.name} is {'up to date' if current else 'out of date'}")
        return 0 if current else 1
    DATA.mkdir(parents=True, exist_ok=True)
    TARGET.write_bytes(compressed(structure) + compressed(descriptions))
    for name, text in licences().items():
        (DATA / name).write_text(text, encoding="utf-8")
    print(f"{TARGET.name}: {len(structure['resources'])} resources, {len(structure['definitions'])} definitions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
