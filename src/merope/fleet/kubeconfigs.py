"""Kubeconfigs of a fleet: the administrator's merged one, and those of the components' ServiceAccounts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

Manifest = dict[str, Any]

#: libyaml's where that is there: a fleet has many of these files.
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_KIND: Final = {"apiVersion": "v1", "kind": "Config"}


def merged(sources: Mapping[str, Path], current: str) -> str:
    """One kubeconfig with a context for each entry of ``sources`` (context name to the kubeconfig that it is from)."""
    clusters: list[Manifest] = []
    users: list[Manifest] = []
    contexts: list[Manifest] = []
    for name, path in sources.items():
        cluster, user = _current(_load(path))
        clusters.append({"name": name, "cluster": cluster})
        users.append({"name": f"{name}-admin", "user": user})
        contexts.append({"name": name, "context": {"cluster": name, "user": f"{name}-admin"}})
    return _dump({"clusters": clusters, "users": users, "contexts": contexts, "current-context": current})


def with_token_file(source: Path, name: str, token_file: Path, namespace: str) -> str:
    """A kubeconfig for the cluster of ``source`` whose user presents the token in ``token_file``."""
    return _single(source, name, {"tokenFile": str(token_file)}, namespace)


def _single(source: Path, name: str, user: Manifest, namespace: str) -> str:
    cluster, _ = _current(_load(source))
    context = {"cluster": "hub", "user": name, "namespace": namespace}
    return _dump(
        {
            "clusters": [{"name": "hub", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": context}],
            "current-context": name,
        }
    )


def _current(config: Manifest) -> tuple[Manifest, Manifest]:
    contexts = {entry["name"]: entry["context"] for entry in config["contexts"]}
    context = contexts[config["current-context"]]
    clusters = {entry["name"]: entry["cluster"] for entry in config["clusters"]}
    users = {entry["name"]: entry["user"] for entry in config["users"]}
    return clusters[context["cluster"]], users[context["user"]]


def _dump(content: Manifest) -> str:
    text: str = yaml.dump({**_KIND, **content}, Dumper=_DUMPER, sort_keys=False)
    return text


def _load(path: Path) -> Manifest:
    content: Manifest = yaml.load(path.read_text(), Loader=_LOADER)  # noqa: S506 - both are safe ones
    return content
