"""What every namespace holds from the beginning: the ServiceAccount ``default`` and the cluster's CA certificate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from merope.controlplane.controllers.work import Reconciler, controller_user
from merope.controlplane.entry import Change
from merope.controlplane.errors import ApiError
from merope.controlplane.resource import GroupResource, Object

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_NAMESPACES: Final = GroupResource("", "namespaces")
_SERVICE_ACCOUNTS: Final = GroupResource("", "serviceaccounts")
_CONFIG_MAPS: Final = GroupResource("", "configmaps")
_ROOT_CA: Final = "kube-root-ca.crt"
_DESCRIPTION: Final = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class NamespaceContents:
    """Creates both in every namespace that is not going away, and repairs them when they are removed or edited."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._work: Reconciler[str] = Reconciler("namespace-contents", self._reconcile)
        self._unsubscribe: list[Callable[[], None]] = []

    async def start(self) -> None:
        subscribe = self._server.store.subscribe
        self._unsubscribe = [
            subscribe(self._namespace_changed, _NAMESPACES),
            subscribe(self._account_changed, _SERVICE_ACCOUNTS),
            subscribe(self._config_map_changed, _CONFIG_MAPS),
        ]
        for entry in self._server.store.list(_NAMESPACES):
            self._work.add(entry.name)
        self._work.start()

    async def stop(self) -> None:
        while self._unsubscribe:
            self._unsubscribe.pop()()
        await self._work.stop()

    def _namespace_changed(self, change: Change) -> None:
        if change.type == "ADDED":
            self._work.add(change.entry.name)

    def _account_changed(self, change: Change) -> None:
        if change.type == "DELETED" and change.entry.name == "default":
            self._work.add(change.entry.namespace)

    def _config_map_changed(self, change: Change) -> None:
        if change.type != "ADDED" and change.entry.name == _ROOT_CA:
            self._work.add(change.entry.namespace)

    async def _reconcile(self, namespace: str) -> None:
        found = self._server.store.get(_NAMESPACES, "", namespace)
        if found is None or found.deleting:
            return
        await self._ensure_account(namespace)
        await self._ensure_root_ca(namespace)

    async def _ensure_account(self, namespace: str) -> None:
        if self._server.store.get(_SERVICE_ACCOUNTS, namespace, "default") is not None:
            return
        account = {"metadata": {"name": "default", "namespace": namespace}}
        await self._create("service-account-controller", ("", "v1", "serviceaccounts"), account, namespace)

    async def _ensure_root_ca(self, namespace: str) -> None:
        wanted: Object = {
            "metadata": {
                "name": _ROOT_CA,
                "namespace": namespace,
                "annotations": {"kubernetes.io/description": _DESCRIPTION},
            },
            "data": {"ca.crt": self._server.pki.ca_pem.decode()},
        }
        found = self._server.store.get(_CONFIG_MAPS, namespace, _ROOT_CA)
        path = ("", "v1", "configmaps")
        if found is None:
            await self._create("root-ca-cert-publisher", path, wanted, namespace)
            return
        obj = found.copy()
        annotations = obj["metadata"].get("annotations") or {}
        described = annotations.get("kubernetes.io/description") == _DESCRIPTION
        if obj.get("data") == wanted["data"] and described:
            return
        obj["data"] = wanted["data"]
        obj["metadata"]["annotations"] = {**annotations, **wanted["metadata"]["annotations"]}
        await self._server.local(controller_user("root-ca-cert-publisher")).update(path, obj)

    async def _create(self, user: str, path: tuple[str, str, str], obj: Object, namespace: str) -> None:
        try:
            await self._server.local(controller_user(user)).create(path, obj, namespace)
        except ApiError as error:
            if error.reason == "AlreadyExists" or _namespace_is_going(error):
                return
            raise


def _namespace_is_going(error: ApiError) -> bool:
    causes = (error.details or {}).get("causes") or ()
    return error.code == 404 or any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
