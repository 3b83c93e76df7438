"""Owner references across namespaces: nobody can hold up, or have deleted, what is in another namespace."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.conditions import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def create(api: Any, namespace: str, name: str, **metadata: Any) -> Any:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    answer = await api.call("POST", path, {"metadata": {"name": name, **metadata}})
    assert answer.code == 201
    return answer.body


def reference(owner: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": True,
    }


@pytest.mark.parametrize("policy", ["Foreground", "Orphan", "Background"])
async def test_a_dependent_in_another_namespace_holds_nothing_up(api: Any, policy: str) -> None:
    ours, theirs = await api.namespace(), await api.namespace()
    owner = await create(api, ours, "owner")
    await create(api, theirs, "foreign", ownerReferences=[reference(owner)], finalizers=["example.com/never"])
    path = f"/api/v1/namespaces/{ours}/configmaps/owner"

    await api.call("DELETE", path, {"propagationPolicy": policy})

    async def gone() -> bool:
        return (await api.call("GET", path)).code == 404

    await eventually(gone, f"the owner is gone ({policy})", timeout=5)


async def test_a_dependent_in_the_same_namespace_does(api: Any) -> None:
    namespace = await api.namespace()
    owner = await create(api, namespace, "owner")
    await create(api, namespace, "own", ownerReferences=[reference(owner)], finalizers=["example.com/wait"])
    path = f"/api/v1/namespaces/{namespace}/configmaps"

    await api.call("DELETE", f"{path}/owner", {"propagationPolicy": "Foreground"})

    async def deleting() -> bool:
        return "deletionTimestamp" in (await api.call("GET", f"{path}/own")).body["metadata"]

    await eventually(deleting, "the dependent is being deleted", timeout=5)
    assert (await api.call("GET", f"{path}/owner")).code == 200
    await api.patch(f"{path}/own", {"metadata": {"finalizers": None}})

    async def gone() -> bool:
        return (await api.call("GET", f"{path}/owner")).code == 404

    await eventually(gone, "the owner is gone", timeout=5)
