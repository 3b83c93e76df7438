"""rbac.authorization.k8s.io/v1: Role, ClusterRole, RoleBinding, ClusterRoleBinding."""

import msgspec
from msgspec import UNSET

from merope.api.meta.v1 import LabelSelector, Object
from merope.api.schema import Maybe, Struct, resource

GROUP = "rbac.authorization.k8s.io"


class PolicyRule(Struct):
    """Allows these verbs on these resources, or on these paths."""

    verbs: list[str]
    api_groups: Maybe[list[str] | None] = UNSET
    resources: Maybe[list[str] | None] = UNSET
    resource_names: Maybe[list[str] | None] = UNSET
    non_resource_urls: Maybe[list[str] | None] = msgspec.field(default=UNSET, name="nonResourceURLs")


class Subject(Struct):
    """Whom a binding gives a role: a User, a Group or a ServiceAccount."""

    kind: str
    name: str
    api_group: Maybe[str] = UNSET
    namespace: Maybe[str] = UNSET


class RoleRef(Struct):
    """The role that a binding gives."""

    kind: str
    name: str
    api_group: Maybe[str] = UNSET


class AggregationRule(Struct):
    """Which cluster roles a cluster role takes its rules from."""

    cluster_role_selectors: Maybe[list[LabelSelector] | None] = UNSET


@resource(GROUP, "v1", "roles", namespaced=True)
class Role(Object):
    """Permissions within a namespace."""

    # A role without rules is written with an explicit null by Go programs.
    rules: Maybe[list[PolicyRule] | None] = UNSET


@resource(GROUP, "v1", "clusterroles", namespaced=False)
class ClusterRole(Object):
    """Permissions in the whole cluster, or to be given within namespaces."""

    rules: Maybe[list[PolicyRule] | None] = UNSET
    aggregation_rule: Maybe[AggregationRule | None] = UNSET


@resource(GROUP, "v1", "rolebindings", namespaced=True)
class RoleBinding(Object):
    """Gives a role within a namespace."""

    role_ref: RoleRef
    subjects: Maybe[list[Subject] | None] = UNSET


@resource(GROUP, "v1", "clusterrolebindings", namespaced=False)
class ClusterRoleBinding(Object):
    """Gives a cluster role in the whole cluster."""

    role_ref: RoleRef
    subjects: Maybe[list[Subject] | None] = UNSET
