"""The chain of admission plugins of one server, in Kubernetes' order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from merope.controlplane import errors
from merope.controlplane.admission.policies import Policies
from merope.controlplane.admission.requests import Surroundings
from merope.controlplane.admission.webhooks import Webhooks
from merope.controlplane.resource import GroupResource, Object, Request

if TYPE_CHECKING:
    from merope.controlplane.server import Server

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]

_NAMESPACES: Final = GroupResource("", "namespaces")
_SERVICE_ACCOUNTS: Final = GroupResource("", "serviceaccounts")
_PODS: Final = GroupResource("", "pods")
_IMMORTAL: Final = frozenset({"default", "kube-system", "kube-public"})
#: Kinds that decide about admission are not themselves subject to webhooks: a broken one could never be mended.
_WEBHOOK_EXEMPT_GROUP: Final = "admissionregistration.k8s.io"


class AdmissionChain:
    """Runs the plugins for each write; ``webhooks`` and ``policies`` are started and stopped with the server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        surroundings = Surroundings(server)
        self.webhooks = Webhooks(server, surroundings)
        self.policies = Policies(server, surroundings)
        server.add_controller(self.webhooks)
        server.add_controller(self.policies)

    async def mutate(
        self, request: Request, operation: Operation, obj: Object | None, old: Object | None
    ) -> Object | None:
        """The object as admission leaves it: ``obj`` itself where nothing changed it. Raises ApiError to refuse."""
        self.check_namespace(request, operation)
        if request.resource.storage == _PODS and operation == "CREATE" and not request.subresource and obj is not None:
            self._use_service_account(request, obj)
        if request.resource.group == _WEBHOOK_EXEMPT_GROUP:
            return obj
        return await self.webhooks.mutate(request, operation, obj, old)

    async def validate(self, request: Request, operation: Operation, obj: Object | None, old: Object | None) -> None:
        """Let policies and validating webhooks see the object as it will be stored. Raises ApiError to refuse."""
        await self.policies.validate(request, operation, obj, old)
        if request.resource.group != _WEBHOOK_EXEMPT_GROUP:
            await self.webhooks.validate(request, operation, obj, old)

    def check_namespace(self, request: Request, operation: Operation) -> None:
        """Nothing is created in a namespace that is missing or going; three namespaces stay for ever.

        Asked once more right before the commit: a namespace may go while webhooks think, and what came into it after
        its contents were counted would stay for ever.
        """
        resource = request.resource
        if resource.storage == _NAMESPACES:
            if operation == "DELETE" and request.name in _IMMORTAL:
                raise errors.forbidden("", "namespaces", request.name, "this namespace may not be deleted")
            return
        if operation != "CREATE" or not resource.namespaced:
            return
        namespace = self._server.store.head(_NAMESPACES, "", request.namespace)
        if namespace is None:
            raise errors.not_found("", "namespaces", request.namespace)
        if namespace.deleting:
            cause = f"unable to create new content in namespace {request.namespace} because it is being terminated"
            refused = errors.forbidden(resource.group, resource.plural, request.name, cause)
            refused.details = {
                **(refused.details or {}),
                "causes": [
                    {
                        "reason": "NamespaceTerminating",
                        "message": f"namespace {request.namespace} is being terminated",
                        "field": "metadata.namespace",
                    }
                ],
            }
            raise refused

    def _use_service_account(self, request: Request, pod: Object) -> None:
        spec: dict[str, Any] = pod.setdefault("spec", {})
        name = spec.get("serviceAccountName") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = self._server.store.get(_SERVICE_ACCOUNTS, request.namespace, name)
        if account is None:
            cause = (
                f"error looking up service account {request.namespace}/{name}: "
                f"{errors.not_found('', 'serviceaccounts', name).message}"
            )
            refused = errors.forbidden("", "pods", request.name, cause)
            refused.message = f'pods "{request.name}" is forbidden: {cause}'
            raise refused
        pull_secrets = account.parsed().get("imagePullSecrets")
        if pull_secrets and not spec.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(secret) for secret in pull_secrets]
