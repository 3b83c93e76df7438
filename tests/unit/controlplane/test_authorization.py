"""RBAC: what rules grant, what follows changes at once, and what nobody may grant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from merope.controlplane.authz import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    GROUP,
    ROLE_BINDINGS,
    ROLES,
    Attributes,
    Authorizer,
    Rule,
    atoms,
    uncovered,
)
from merope.controlplane.errors import ApiError
from merope.controlplane.impersonation import impersonate
from merope.controlplane.resource import GroupResource, UserInfo
from merope.controlplane.store import Store

ALICE = UserInfo("alice", ("team", "system:authenticated"))
AGENT = UserInfo(
    "system:serviceaccount:ns:agent", ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
)
MASTER = UserInfo("root", ("system:masters",))


class World:
    """A store with RBAC objects, and the authorizer that follows it."""

    def __init__(self) -> None:
        self.store = Store()
        self.authz = Authorizer(self.store)

    async def put(self, storage: GroupResource, namespace: str, name: str, **body: Any) -> None:
        obj = {"metadata": {"name": name, "namespace": namespace, "uid": f"{storage}-{namespace}-{name}"}, **body}
        await self.store.put(storage, namespace, name, obj, self.store.head(storage, namespace, name))

    async def role(self, name: str, *rules: dict[str, Any], namespace: str = "") -> None:
        await self.put(ROLES if namespace else CLUSTER_ROLES, namespace, name, rules=list(rules))

    async def bind(self, name: str, role: str, *subjects: dict[str, str], namespace: str = "", kind: str = "") -> None:
        ref = {"apiGroup": GROUP, "kind": kind or ("Role" if namespace else "ClusterRole"), "name": role}
        storage = ROLE_BINDINGS if namespace else CLUSTER_ROLE_BINDINGS
        await self.put(storage, namespace, name, roleRef=ref, subjects=list(subjects))

    def allowed(self, user: UserInfo, verb: str, resource: str, **more: str) -> bool:
        resource, _, subresource = resource.partition("/")
        return self.authz.authorize(Attributes(user, verb, resource=resource, subresource=subresource, **more)).allowed


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    world.authz.start()
    yield world
    world.authz.stop()
    await world.store.close()


READ_PODS = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}
TO_ALICE = {"kind": "User", "name": "alice"}


async def test_nothing_is_allowed_without_a_binding(world: World) -> None:
    await world.role("reader", READ_PODS)

    assert not world.allowed(ALICE, "get", "pods")
    assert world.allowed(MASTER, "get", "pods")


async def test_the_request_after_a_write_of_rbac_sees_it(world: World) -> None:
    await world.bind("b", "reader", TO_ALICE)
    assert not world.allowed(ALICE, "get", "pods")

    await world.role("reader", READ_PODS)
    assert world.allowed(ALICE, "get", "pods")

    await world.role("reader")
    assert not world.allowed(ALICE, "get", "pods")

    await world.role("reader", READ_PODS)
    entry = world.store.head(CLUSTER_ROLE_BINDINGS, "", "b")
    assert entry is not None
    await world.store.delete(CLUSTER_ROLE_BINDINGS, "", "b", entry)
    assert not world.allowed(ALICE, "get", "pods")


async def test_a_role_binding_reaches_only_its_namespace(world: World) -> None:
    await world.role("reader", READ_PODS)
    await world.bind("b", "reader", TO_ALICE, namespace="one", kind="ClusterRole")

    assert world.allowed(ALICE, "get", "pods", namespace="one")
    assert not world.allowed(ALICE, "get", "pods", namespace="two")
    assert not world.allowed(ALICE, "get", "pods")


@pytest.mark.parametrize(
    ("rule", "verb", "resource", "name", "allowed"),
    [
        (READ_PODS, "get", "pods", "", True),
        (READ_PODS, "get", "pods/status", "", False),
        (READ_PODS, "delete", "pods", "", False),
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, "delete", "pods/status", "", True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["*/status"]}, "get", "pods/status", "", True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["*/status"]}, "get", "pods", "", False),
        ({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["pods"]}, "get", "pods", "", False),
        ({**READ_PODS, "resourceNames": ["a"]}, "get", "pods", "a", True),
        ({**READ_PODS, "resourceNames": ["a"]}, "get", "pods", "b", False),
        ({**READ_PODS, "resourceNames": ["a"]}, "list", "pods", "", False),
    ],
)
async def test_rules_grant_exactly_what_they_say(
    world: World, rule: dict[str, Any], verb: str, resource: str, name: str, allowed: bool
) -> None:
    await world.role("r", rule)
    await world.bind("b", "r", TO_ALICE)

    assert world.allowed(ALICE, verb, resource, name=name) is allowed


@pytest.mark.parametrize(
    ("url", "path", "allowed"),
    [("/metrics", "/metrics", True), ("/metrics", "/metrics/x", False), ("/api/*", "/api/v1", True), ("*", "/x", True)],
)
async def test_paths_outside_the_api_match_exactly_or_by_prefix(
    world: World, url: str, path: str, allowed: bool
) -> None:
    await world.role("r", {"verbs": ["get"], "nonResourceURLs": [url]})
    await world.bind("b", "r", TO_ALICE)

    assert world.authz.authorize(Attributes(ALICE, "get", path=path)).allowed is allowed
    assert not world.allowed(ALICE, "get", "pods")


async def test_service_accounts_are_bound_by_namespace_and_name(world: World) -> None:
    await world.role("r", READ_PODS)
    await world.bind("b", "r", {"kind": "ServiceAccount", "name": "agent", "namespace": "ns"})

    assert world.allowed(AGENT, "get", "pods")
    assert not world.allowed(UserInfo("system:serviceaccount:other:agent"), "get", "pods")


async def test_the_reason_names_the_binding_and_unresolved_ones(world: World) -> None:
    await world.role("r", READ_PODS)
    await world.bind("b", "r", {"kind": "ServiceAccount", "name": "agent"}, namespace="ns", kind="ClusterRole")
    decision = world.authz.authorize(Attributes(AGENT, "get", resource="pods", namespace="ns"))
    assert decision.reason == ('RBAC: allowed by RoleBinding "b/ns" of ClusterRole "r" to ServiceAccount "agent/ns"')

    await world.bind("dangling", "none", {"kind": "Group", "name": "team"}, namespace="ns")
    denied = world.authz.authorize(Attributes(ALICE, "get", resource="pods", namespace="ns"))
    assert denied == (False, 'RBAC: role.rbac.authorization.k8s.io "none" not found')


# --- escalation --------------------------------------------------------------------------------------------------

parts = st.sampled_from(["a", "b", "c", "*"])
rules = st.builds(
    Rule,
    verbs=st.lists(parts, min_size=1, max_size=3, unique=True).map(tuple),
    groups=st.lists(parts, min_size=1, max_size=2, unique=True).map(tuple),
    resources=st.lists(st.sampled_from(["a", "a/s", "b", "*", "*/s"]), min_size=1, max_size=3, unique=True).map(tuple),
    names=st.lists(st.sampled_from(["x", "y"]), max_size=2, unique=True).map(tuple),
)


@given(st.lists(rules, max_size=3))
def test_everybody_holds_what_he_holds(held: list[Rule]) -> None:
    assert uncovered(held, held) == []


@given(st.lists(rules, max_size=3), rules)
def test_what_is_covered_grants_no_request_that_was_not_granted(held: list[Rule], wanted: Rule) -> None:
    if uncovered(held, [wanted]):
        return
    for verb in ("a", "b", "z"):
        for group in ("a", "z"):
            for resource, subresource in (("a", ""), ("a", "s"), ("z", ""), ("z", "s")):
                for name in ("", "x", "z"):
                    request = Attributes(ALICE, verb, group, resource, subresource, "", name)
                    if wanted.allows(request):
                        assert any(rule.allows(request) for rule in held)


@given(st.lists(rules, max_size=2), rules)
def test_what_is_missing_is_part_of_what_was_wanted(held: list[Rule], wanted: Rule) -> None:
    for rule in uncovered(held, [wanted]):
        for atom in atoms(rule):
            assert atom in set(atoms(wanted))


def test_missing_rules_are_merged_and_printed_compactly() -> None:
    wanted = Rule(("create", "get"), ("g",), ("things",))

    missing = uncovered([Rule(("get",), ("g",), ("others",))], [wanted])

    assert [str(rule) for rule in missing] == ['{APIGroups:["g"], Resources:["things"], Verbs:["create" "get"]}']


# --- impersonation -----------------------------------------------------------------------------------------------


async def test_impersonation_needs_permission_for_every_name(world: World) -> None:
    await world.role(
        "r", {"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"], "resourceNames": ["bob"]}
    )
    await world.bind("b", "r", TO_ALICE)

    assert impersonate(world.authz, ALICE, CIMultiDict({"Impersonate-User": "bob"})) == UserInfo(
        "bob", ("system:authenticated",)
    )
    with pytest.raises(ApiError) as caught:
        impersonate(world.authz, ALICE, CIMultiDict([("Impersonate-User", "bob"), ("Impersonate-Group", "g")]))
    assert caught.value.code == 403
    assert 'groups "g" is forbidden: User "alice" cannot impersonate resource "groups"' in caught.value.message


def test_impersonated_service_accounts_get_their_groups() -> None:
    authz = Authorizer(Store())
    user = impersonate(authz, MASTER, CIMultiDict({"Impersonate-User": "system:serviceaccount:ns:sa"}))

    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")


def test_groups_without_a_user_are_refused() -> None:
    with pytest.raises(ApiError) as caught:
        impersonate(Authorizer(Store()), MASTER, CIMultiDict({"Impersonate-Group": "g"}))

    assert caught.value.message == "requested [{Group  g    }] without impersonating a user"
