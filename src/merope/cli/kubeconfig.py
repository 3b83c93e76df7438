"""``merope kubeconfig``."""

from __future__ import annotations

from merope.fleet.layout import FleetError, Layout


def kubeconfig(name: str, cluster: str | None) -> None:
    """Print the path of a kubeconfig."""
    layout = Layout(name)
    fleet = layout.load()
    if cluster is None:
        path = layout.kubeconfig
    elif cluster == "hub" or cluster in fleet.cluster_names:
        path = layout.admin_kubeconfig(cluster)
    else:
        known = ", ".join(("hub", *fleet.cluster_names))
        raise FleetError(f"fleet {name!r} has no cluster {cluster!r}; it has {known}")
    if not path.exists():
        raise FleetError(f"{path} is not there yet; run: merope up")
    print(path)
