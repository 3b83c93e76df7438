"""Whether the executor of a work may do what its manifests ask for.

The agent applies manifests with rights of its own, which are wide. A work may therefore name a service account of the
managed cluster whose rights are to count: the API server is asked for each of them, and for kinds that give rights away
it tries the creation as that account, because only then the server checks for escalation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from merope.kube import CORE, AlreadyExists, Client, Forbidden, Manifest, ResourceRef
from merope.kube.config import Impersonation
from merope.work.manifests import Target

#: Seconds after which a refused manifest is tried again.
RETRY: Final = 60.0
_VERBS: Final = ("create", "update", "patch", "get")
_RBAC: Final = "rbac.authorization.k8s.io"
_ESCALATING: Final = frozenset({"roles", "rolebindings", "clusterroles", "clusterrolebindings"})


class NotAllowed(Exception):
    """The executor lacks a right."""


class InvalidExecutor(ValueError):
    """An executor that names nobody."""


class Executors:
    """Asks the managed cluster about executors."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def check(
        self, executor: Mapping[str, Any] | None, ref: ResourceRef, target: Target, manifest: Manifest, *, owned: bool
    ) -> None:
        """Returns where the manifest may be applied. Raises NotAllowed, InvalidExecutor, and KubeError as the API
        server does.
        """
        if not executor:
            return
        subject = executor.get("subject") or {}
        if subject.get("type") != "ServiceAccount":
            raise InvalidExecutor("only support ServiceAccount type for the executor")
        account = subject.get("serviceAccount")
        if not account:
            raise InvalidExecutor("the executor service account is nil")
        namespace, name = str(account.get("namespace") or ""), str(account.get("name") or "")
        user = f"system:serviceaccount:{namespace}:{name}"
        refusal = (
            f"not allowed to apply the resource {target.group} {target.resource}, {target.namespace} {target.name}"
        )
        for verb in (*_VERBS, "delete") if owned else _VERBS:
            if not await self._may(user, namespace, verb, target):
                raise NotAllowed(f"{refusal}, will try again in 1m0s")
        if target.group == _RBAC and target.resource in _ESCALATING:
            await self._try(user, ref, target, manifest, refusal)

    async def _may(self, user: str, namespace: str, verb: str, target: Target) -> bool:
        attributes = {
            "verb": verb,
            "group": target.group,
            "version": target.version,
            "resource": target.resource,
            "namespace": target.namespace,
            "name": target.name,
        }
        groups = ["system:serviceaccounts", "system:authenticated", f"system:serviceaccounts:{namespace}"]
        spec = {"user": user, "groups": groups, "resourceAttributes": attributes}
        answer = await self._client.create(CORE["SubjectAccessReview"], {"spec": spec})
        return bool((answer.get("status") or {}).get("allowed"))

    async def _try(self, user: str, ref: ResourceRef, target: Target, manifest: Manifest, refusal: str) -> None:
        config = dataclasses.replace(self._client.config, impersonate=Impersonation(user))
        async with Client(config, user_agent="work-agent") as client:
            try:
                await client.create(ref, manifest, target.namespace or None, dry_run=True)
            except AlreadyExists:
                return
            except Forbidden as error:
                raise NotAllowed(f"{refusal}, error: permission escalation, will try again in 1m0s") from error
