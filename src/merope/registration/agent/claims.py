"""What a cluster says about itself: claims and properties of the managed cluster, as the hub gets to see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

RESERVED: Final = frozenset(
    {
        "id.k8s.io",
        "kubeversion.open-cluster-management.io",
        "platform.open-cluster-management.io",
        "product.open-cluster-management.io",
    }
)
#: Claims with this label, whatever its value, stay on the managed cluster.
SPOKE_ONLY: Final = "open-cluster-management.io/spoke-only"


def exposed(
    claims: Iterable[tuple[str, str]],
    properties: Iterable[tuple[str, str]] = (),
    *,
    limit: int,
    reserved_suffixes: Sequence[str] = (),
) -> list[dict[str, str]]:
    """``status.clusterClaims`` for (name, value) pairs: reserved names, sorted, then at most ``limit`` others, sorted.

    A property takes the place of the claim of its name. A name is reserved, too, if it ends with one of
    ``reserved_suffixes``.
    """
    values: Mapping[str, str] = {**dict(claims), **dict(properties)}
    suffixes = tuple(suffix for suffix in reserved_suffixes if suffix)
    reserved = sorted(name for name in values if name in RESERVED or name.endswith(suffixes))
    custom = sorted(values.keys() - set(reserved))[: max(0, limit)]
    return [{"name": name, "value": values[name]} for name in (*reserved, *custom)]
