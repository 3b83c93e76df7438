"""Every object of this project's kinds that reference components exchanged with their API servers can be read.

And nothing gets lost between the raw object and the struct: these kinds have no field that the types don't know.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from merope.api.crds import kinds
from merope.api.diff import same
from merope.api.meta.v1 import decode, encode

WIRE = Path(__file__).resolve().parents[4] / "shared/reference/wire"
KINDS = {(kind.api_version, kind.kind): kind for kind in kinds()}


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """The objects anywhere within a transcript's line, with the kind that a list's items leave out."""
    if isinstance(value, list):
        for item in value:
            yield from objects(item)
    elif isinstance(value, dict):
        api_version, kind = value.get("apiVersion"), value.get("kind")
        if (api_version, kind) in KINDS and "name" in value.get("metadata", ()):
            yield value
        for name, inner in value.items():
            if name == "items" and isinstance(kind, str) and isinstance(inner, list):
                owner = {"apiVersion": api_version, "kind": kind.removesuffix("List")}
                inner = [owner | item if isinstance(item, dict) else item for item in inner]
            yield from objects(inner)


def without_abbreviations(raw: dict[str, Any]) -> dict[str, Any]:
    """The transcripts show a certificate's contents instead of its bytes."""
    for config in raw.get("spec", {}).get("managedClusterClientConfigs", ()):
        if isinstance(config.get("caBundle"), dict):
            config["caBundle"] = ""
    return raw


@pytest.mark.skipif(not WIRE.is_dir(), reason="the transcripts of the reference (../shared) are not here")
def test_objects_of_the_reference_are_read_and_written_back_whole() -> None:
    seen: set[str] = set()
    for transcript in sorted(WIRE.glob("*.jsonl")):
        for line in transcript.read_text().splitlines():
            for raw in objects(json.loads(line)):
                raw = without_abbreviations(raw)
                kind = KINDS[raw["apiVersion"], raw["kind"]]
                assert same(encode(decode(kind, raw)), raw), f"{transcript.name}: {raw}"
                seen.add(kind.kind)
    assert {"ManagedCluster", "ManagedClusterSet", "Placement", "PlacementDecision", "ManifestWork"} <= seen
