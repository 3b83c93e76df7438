"""Manifests from files, directories, URLs and standard input, as ``kubectl apply -f`` reads them."""

from __future__ import annotations

import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from merope.cli.refusal import Refused

Manifest = dict[str, Any]

_SUFFIXES: Final = frozenset({".json", ".yaml", ".yml"})
_SEPARATOR: Final = re.compile(r"^---[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_URL_SECONDS: Final = 30.0


def read(sources: Sequence[str], *, recursive: bool = True) -> list[Manifest]:
    """All manifests of the sources, in order, lists taken apart. Raises Refused that names the source, and OSError."""
    found = [
        manifest for source in sources for name, text in _texts(source, recursive) for manifest in parse(text, name)
    ]
    if not found:
        raise Refused(f"there are no manifests in {', '.join(sources)}")
    return found


def _texts(source: str, recursive: bool) -> Iterator[tuple[str, bytes]]:
    if source == "-":
        yield "standard input", sys.stdin.buffer.read()
    elif source.startswith(("http://", "https://")):
        yield source, _fetch(source)
    elif Path(source).is_dir():
        inside = Path(source).rglob("*") if recursive else Path(source).glob("*")
        for path in sorted(inside):
            if path.suffix in _SUFFIXES and path.is_file():
                yield str(path), path.read_bytes()
    else:
        yield source, Path(source).read_bytes()


def _fetch(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_URL_SECONDS) as answer:  # noqa: S310 (http and https alone get here)
            return bytes(answer.read())
    except (urllib.error.URLError, TimeoutError) as error:
        raise Refused(f"{url}: {error}") from None


def parse(text: bytes, name: str) -> list[Manifest]:
    """The manifests in one text: JSON, or YAML of any number of documents. Raises Refused that says ``name``."""
    found: list[Manifest] = []
    for number, document in enumerate(_documents(text, name), start=1):
        found.extend(_flat(document, f"{name}: document {number}"))
    return found


def _documents(text: bytes, name: str) -> Iterator[Any]:
    # Read as an API server reads YAML: a time, say, stays the text that it is.
    from merope.controlplane.http.yamlbody import YamlError, load

    try:
        decoded = text.decode("utf-8-sig")
        if decoded.lstrip().startswith("{"):
            try:
                yield json.loads(decoded)
                return
            except json.JSONDecodeError:
                pass  # YAML may begin like this, too
        for part in _SEPARATOR.split(decoded):
            document, duplicates = load(part.encode())
            if duplicates:
                raise Refused(f"{name}: {duplicates[0]}")
            if document is not None:
                yield document
    except (UnicodeDecodeError, YamlError) as error:
        raise Refused(f"{name}: {error}") from None


def _flat(document: Any, where: str) -> Iterator[Manifest]:
    if not isinstance(document, dict):
        raise Refused(f"{where} is no object")
    if not (document.get("apiVersion") and document.get("kind")):
        raise Refused(f"{where} has no apiVersion or no kind")
    items = document.get("items")
    if str(document["kind"]).endswith("List") and isinstance(items, list):
        for at, item in enumerate(items):
            yield from _flat(item, f"{where}, item {at}")
        return
    if not (document.get("metadata") or {}).get("name"):
        raise Refused(f"{where} ({document['kind']}) has no metadata.name")
    yield document
