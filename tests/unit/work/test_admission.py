"""What admission lets through of ManifestWorks."""

from __future__ import annotations

from typing import Any

import pytest

from merope.sdk.admission import AdmissionRequest, Denied, Permission, Requester
from merope.work.admission import MANIFEST_LIMIT, check_manifests, encoded_size, validate_work


def manifest(name: str = "a", **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "n"}, **more}


@pytest.mark.parametrize(
    ("manifests", "text"),
    [
        ([], "manifests should not be empty"),
        ([manifest(), manifest()], "duplicate manifest for resource n/a with resource type v1.ConfigMap"),
        ([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}], "name must be set in manifest"),
        (
            [{"apiVersion": "v1", "kind": "X", "metadata": {"name": "a", "generateName": "a-"}}],
            "generateName must not be set in manifest",
        ),
        ([{"apiVersion": "v1", "metadata": {"name": "a"}}], "Object 'Kind' is missing in a manifest"),
    ],
)
def test_manifests_that_no_work_may_hold_are_refused(manifests: list[Any], text: str) -> None:
    with pytest.raises(Denied) as caught:
        check_manifests(manifests)

    assert (caught.value.code, caught.value.message) == (400, text)


def test_the_size_counts_each_manifest_with_its_length_prefix() -> None:
    assert encoded_size({}) == 2 + 1 + 1
    assert encoded_size({"a": "x" * 200}) == 208 + 1 + 2
    size = encoded_size(manifest(data={"k": "x" * MANIFEST_LIMIT}))
    with pytest.raises(Denied) as caught:
        check_manifests([manifest(data={"k": "x" * MANIFEST_LIMIT})])
    assert caught.value.message == f"the size of manifests is {size} bytes which exceeds the 512000 limit"


class Hub:
    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed

    async def allows(self, requester: Requester, permission: Permission) -> bool:
        return f"{permission.verb} {permission.namespace}/{permission.name}" in self.allowed

    async def namespace_phase(self, name: str) -> str:
        return ""


def work(executor: Any = None) -> dict[str, Any]:
    spec: dict[str, Any] = {"workload": {"manifests": [manifest()]}}
    if executor is not None:
        spec["executor"] = executor
    return {"metadata": {"name": "w", "namespace": "c1"}, "spec": spec}


SOMEBODY = {"subject": {"type": "ServiceAccount", "serviceAccount": {"namespace": "x", "name": "y"}}}


def request(obj: dict[str, Any], old: dict[str, Any] | None = None) -> AdmissionRequest:
    operation = "CREATE" if old is None else "UPDATE"
    return AdmissionRequest("u", operation, "w", "c1", requester=Requester("bob"), object=obj, old=old)


async def test_acting_as_somebody_needs_the_permission_where_the_executor_is_new() -> None:
    with pytest.raises(Denied) as caught:
        await validate_work(request(work(SOMEBODY)), Hub())
    assert caught.value.message == "user bob cannot manipulate the Manifestwork with executor x/y in namespace c1"

    await validate_work(request(work(SOMEBODY)), Hub("execute-as c1/system:serviceaccount:x:y"))
    await validate_work(request(work(SOMEBODY), work(SOMEBODY)), Hub())
    await validate_work(request(work()), Hub())


async def test_an_executor_without_an_account_is_refused_cleanly() -> None:
    for executor in ({}, {"subject": {"type": "ServiceAccount"}}):
        with pytest.raises(Denied, match="executor service account can not be nil"):
            await validate_work(request(work(executor)), Hub())
