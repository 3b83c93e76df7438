"""ClusterRoles that collect the rules of others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from merope.controlplane.authz import CLUSTER_ROLES, GROUP
from merope.controlplane.controllers.work import Reconciler
from merope.controlplane.entry import Change
from merope.controlplane.resource import Object
from merope.lang.selectors import label_selector

if TYPE_CHECKING:
    from merope.controlplane.server import Server

MANAGER: Final = "clusterrole-aggregation-controller"
_PATH: Final = (GROUP, "v1", "clusterroles")


def aggregated_rules(role: Mapping[str, Any], roles: Iterable[Mapping[str, Any]]) -> list[Object]:
    """The rules that ``role`` shall have: those of all other roles that its selectors match, each once.

    By selector, then by name of the role.
    """
    others = sorted(
        (other for other in roles if other["metadata"]["name"] != role["metadata"]["name"]),
        key=lambda other: other["metadata"]["name"],
    )
    out: list[Object] = []
    for wanted in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ():
        selector = label_selector(wanted)
        for other in others:
            if selector.matches(other["metadata"].get("labels") or {}):
                out.extend(rule for rule in other.get("rules") or () if rule not in out)
    return out


class ClusterRoleAggregation:
    """Recomputes every collecting role when any ClusterRole changes."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._work: Reconciler[str] = Reconciler("clusterrole-aggregation", self._reconcile, workers=1)
        self._collecting: set[str] = set()
        self._unsubscribe: Callable[[], None] = lambda: None

    async def start(self) -> None:
        for entry in self._server.store.list(CLUSTER_ROLES):
            if entry.parsed().get("aggregationRule"):
                self._collecting.add(entry.name)
        self._unsubscribe = self._server.store.subscribe(self._changed, CLUSTER_ROLES)
        self._add_all()
        self._work.start()

    async def stop(self) -> None:
        self._unsubscribe()
        await self._work.stop()

    def _changed(self, change: Change) -> None:
        name = change.entry.name
        if change.type == "DELETED" or not change.entry.parsed().get("aggregationRule"):
            self._collecting.discard(name)
        else:
            self._collecting.add(name)
        self._add_all()

    def _add_all(self) -> None:
        for name in self._collecting:
            self._work.add(name)

    async def _reconcile(self, name: str) -> None:
        store = self._server.store
        entry = store.get(CLUSTER_ROLES, "", name)
        if entry is None or entry.deleting or not entry.parsed().get("aggregationRule"):
            return
        role = entry.parsed()
        rules = aggregated_rules(role, (other.parsed() for other in store.list(CLUSTER_ROLES)))
        if rules == (role.get("rules") or []):
            return
        wanted = {"apiVersion": f"{GROUP}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}
        await self._server.local(manager=MANAGER).patch(_PATH, name, wanted, type="apply", force=True)
