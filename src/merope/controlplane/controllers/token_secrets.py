"""Secrets of type service-account-token: filled with a token, gone with their ServiceAccount."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from merope.controlplane.controllers.work import Reconciler, controller_user
from merope.controlplane.entry import Change, Entry
from merope.controlplane.tokens import SECRETS, SERVICE_ACCOUNTS, TOKEN_SECRET_TYPE

if TYPE_CHECKING:
    from merope.controlplane.server import Server

NAME_ANNOTATION: Final = "kubernetes.io/service-account.name"
UID_ANNOTATION: Final = "kubernetes.io/service-account.uid"
_PATH: Final = ("", "v1", "secrets")
_TYPE_BYTES: Final = f'"{TOKEN_SECRET_TYPE}"'.encode()


class TokenSecrets:
    """Keeps token Secrets in step with their ServiceAccounts."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._work: Reconciler[tuple[str, str]] = Reconciler("token-secrets", self._reconcile, workers=2)
        self._unsubscribe: list[Callable[[], None]] = []

    async def start(self) -> None:
        store = self._server.store
        self._unsubscribe = [
            store.subscribe(self._secret_changed, SECRETS),
            store.subscribe(self._account_changed, SERVICE_ACCOUNTS),
        ]
        for entry in store.list(SECRETS):
            self._consider(entry)
        self._work.start()

    async def stop(self) -> None:
        while self._unsubscribe:
            self._unsubscribe.pop()()
        await self._work.stop()

    def _secret_changed(self, change: Change) -> None:
        if change.type != "DELETED":
            self._consider(change.entry)

    def _account_changed(self, change: Change) -> None:
        if change.type != "MODIFIED":
            for entry in self._server.store.list(SECRETS, change.entry.namespace):
                self._consider(entry)

    def _consider(self, entry: Entry) -> None:
        if _TYPE_BYTES in entry.data:
            self._work.add((entry.namespace, entry.name))

    async def _reconcile(self, key: tuple[str, str]) -> None:
        namespace, name = key
        entry = self._server.store.get(SECRETS, namespace, name)
        if entry is None or entry.deleting or entry.parsed().get("type") != TOKEN_SECRET_TYPE:
            return
        secret = entry.copy()
        annotations = secret["metadata"].get("annotations") or {}
        account = self._server.store.get(SERVICE_ACCOUNTS, namespace, annotations.get(NAME_ANNOTATION, ""))
        stated = annotations.get(UID_ANNOTATION, "")
        client = self._server.local(controller_user("tokens-controller"))
        if account is None or (stated and stated != account.uid):
            preconditions = {"uid": entry.uid, "resourceVersion": str(entry.rv)}
            await client.delete(_PATH, name, namespace, {"preconditions": preconditions})
            return
        data = dict(secret.get("data") or {})
        wanted = {"ca.crt": self._server.pki.ca_pem, "namespace": namespace.encode()}
        changed = {key: value for key, value in wanted.items() if data.get(key) != base64.b64encode(value).decode()}
        if not data.get("token"):
            changed["token"] = self._server.tokens.issue_legacy(account, name).encode()
        if not changed and stated == account.uid:
            return
        secret["data"] = {**data, **{key: base64.b64encode(value).decode() for key, value in changed.items()}}
        secret["metadata"]["annotations"] = {**annotations, UID_ANNOTATION: account.uid}
        await client.update(_PATH, secret)
