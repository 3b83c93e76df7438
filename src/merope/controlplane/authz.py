"""Who may do what: RBAC, evaluated in memory on the objects that the store shows.

Roles are compiled and bindings indexed by subject. Both are kept up to date by the same change that makes an object
visible, so the request after an acknowledged write of a role sees it: agents create permissions and use them at once.

Two questions are answered: whether one request is allowed (``Authorizer.authorize``), and which rules somebody holds
(``Authorizer.rules_for``), which reviews and the protection against escalation need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from merope.controlplane.resource import GroupResource, Object, UserInfo

if TYPE_CHECKING:
    from merope.controlplane.store import Change, Store

GROUP: Final = "rbac.authorization.k8s.io"
ROLES: Final = GroupResource(GROUP, "roles")
CLUSTER_ROLES: Final = GroupResource(GROUP, "clusterroles")
ROLE_BINDINGS: Final = GroupResource(GROUP, "rolebindings")
CLUSTER_ROLE_BINDINGS: Final = GroupResource(GROUP, "clusterrolebindings")

_SERVICE_ACCOUNT_PREFIX: Final = "system:serviceaccount:"
_DECISIONS_KEPT: Final = 8192


class Attributes(NamedTuple):
    """One request as authorization sees it: a verb on a resource, or a verb on a ``path`` outside the API."""

    user: UserInfo
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def denial(self) -> str:
        """What a 403 says after ``is forbidden:``."""
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        return (
            f'User {quoted(self.user.username)} cannot {self.verb} resource "{self.full_resource}" '
            f'in API group "{self.group}" {where}'
        )


class Decision(NamedTuple):
    """``reason`` names the binding that allowed, or the bindings that could not be resolved."""

    allowed: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled PolicyRule. The tuples keep the order of the object: reviews show it."""

    verbs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> Rule:
        return cls(
            tuple(rule.get("verbs") or ()),
            tuple(rule.get("apiGroups") or ()),
            tuple(rule.get("resources") or ()),
            tuple(rule.get("resourceNames") or ()),
            tuple(rule.get("nonResourceURLs") or ()),
        )

    def to_dict(self) -> Object:
        """As a PolicyRule, empty members left out."""
        out: Object = {"verbs": list(self.verbs)}
        for key, values in (
            ("apiGroups", self.groups),
            ("resources", self.resources),
            ("resourceNames", self.names),
            ("nonResourceURLs", self.urls),
        ):
            if values:
                out[key] = list(values)
        return out

    def allows(self, request: Attributes) -> bool:
        if "*" not in self.verbs and request.verb not in self.verbs:
            return False
        if request.path:
            return any(_url_matches(url, request.path) for url in self.urls)
        if "*" not in self.groups and request.group not in self.groups:
            return False
        if not _resource_matches(self.resources, request.full_resource, request.subresource):
            return False
        return not self.names or request.name in self.names

    def __str__(self) -> str:
        """The compact form that denials of escalation print."""
        parts = (
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.urls),
            ("ResourceNames", self.names),
            ("Verbs", self.verbs),
        )
        stated = (f"{name}:[{' '.join(quoted(v) for v in values)}]" for name, values in parts if values)
        return "{" + ", ".join(stated) + "}"


def quoted(text: str) -> str:
    """``text`` in double quotes, these and backslashes escaped: names of users may hold anything."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _url_matches(pattern: str, path: str) -> bool:
    if pattern == "*" or pattern == path:
        return True
    return pattern.endswith("*") and path.startswith(pattern.rstrip("*"))


def _resource_matches(resources: Sequence[str], full: str, subresource: str) -> bool:
    if full in resources or "*" in resources:
        return True
    return bool(subresource) and f"*/{subresource}" in resources


# --- escalation --------------------------------------------------------------------------------------------------


def atoms(rule: Rule) -> Iterator[Rule]:
    """Split a rule into rules of one verb, group, resource and name (or one verb and URL)."""
    for verb in rule.verbs:
        for group in rule.groups:
            for resource in rule.resources:
                if rule.names:
                    for name in rule.names:
                        yield Rule((verb,), (group,), (resource,), (name,))
                else:
                    yield Rule((verb,), (group,), (resource,))
        for url in rule.urls:
            yield Rule((verb,), urls=(url,))


def _covers(held: Rule, atom: Rule) -> bool:
    verb = atom.verbs[0]
    if "*" not in held.verbs and verb not in held.verbs:
        return False
    if atom.urls:
        return any(_url_covers(url, atom.urls[0]) for url in held.urls)
    group, resource = atom.groups[0], atom.resources[0]
    if "*" not in held.groups and group not in held.groups:
        return False
    if resource not in held.resources and "*" not in held.resources:
        _, slash, subresource = resource.partition("/")
        if not slash or f"*/{subresource}" not in held.resources:
            return False
    if not held.names:
        return True
    return bool(atom.names) and atom.names[0] in held.names


def _url_covers(held: str, requested: str) -> bool:
    if held in ("*", requested):
        return True
    return held.endswith("*") and requested.startswith(held[:-1])


def uncovered(held: Iterable[Rule], requested: Iterable[Rule]) -> list[Rule]:
    """The parts of ``requested`` that no rule in ``held`` covers, merged by group, resource and name."""
    owned = list(held)
    missing: dict[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], list[str]] = {}
    urls: list[Rule] = []
    for rule in requested:
        for atom in atoms(rule):
            if any(_covers(have, atom) for have in owned):
                continue
            if atom.urls:
                urls.append(atom)
            else:
                verbs = missing.setdefault((atom.groups, atom.resources, atom.names), [])
                if atom.verbs[0] not in verbs:
                    verbs.append(atom.verbs[0])
    merged = [Rule(tuple(verbs), groups, resources, names) for (groups, resources, names), verbs in missing.items()]
    return merged + urls


# --- the authorizer ----------------------------------------------------------------------------------------------

Subject = tuple[str, str]  # ("User", name), ("Group", name), ("ServiceAccount", "namespace/name")


@dataclass(frozen=True, slots=True)
class Binding:
    """A ClusterRoleBinding (``namespace`` is empty) or RoleBinding, as far as decisions need it."""

    namespace: str
    name: str
    role_kind: str
    role_name: str
    subjects: tuple[Subject, ...]

    @property
    def described(self) -> str:
        if self.namespace:
            return f'RoleBinding "{self.name}/{self.namespace}"'
        return f'ClusterRoleBinding "{self.name}"'


def subjects_of(user: UserInfo) -> list[Subject]:
    """The subjects under which bindings may name ``user``."""
    subjects: list[Subject] = [("User", user.username)]
    subjects.extend(("Group", group) for group in user.groups)
    if user.username.startswith(_SERVICE_ACCOUNT_PREFIX):
        namespace, _, name = user.username[len(_SERVICE_ACCOUNT_PREFIX) :].partition(":")
        subjects.append(("ServiceAccount", f"{namespace}/{name}"))
    return subjects


class Authorizer:
    """RBAC over the objects of one store; ``start`` loads them and follows changes until ``stop``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._roles: dict[tuple[str, str], tuple[Rule, ...]] = {}  # (namespace or "", name)
        self._bindings: dict[tuple[str, str], Binding] = {}
        self._by_subject: dict[tuple[str, Subject], dict[str, Binding]] = {}  # (namespace or "", subject) -> by name
        self._decisions: dict[Attributes, Decision] = {}
        self._unsubscribe: list[Callable[[], None]] = []

    def start(self) -> None:
        for storage in (ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS):
            for entry in self._store.list(storage):
                self._put(storage, entry.namespace, entry.name, entry.parsed())
            self._unsubscribe.append(self._store.subscribe(self._changed, storage))

    def stop(self) -> None:
        while self._unsubscribe:
            self._unsubscribe.pop()()

    def _changed(self, change: Change) -> None:
        entry = change.entry
        self._decisions.clear()
        if change.type == "DELETED":
            self._remove(entry.storage, entry.namespace, entry.name)
        else:
            self._put(entry.storage, entry.namespace, entry.name, entry.parsed())

    def _put(self, storage: GroupResource, namespace: str, name: str, obj: Object) -> None:
        if storage in (ROLES, CLUSTER_ROLES):
            self._roles[namespace, name] = tuple(Rule.of(rule) for rule in obj.get("rules") or ())
            return
        self._remove(storage, namespace, name)
        ref = obj.get("roleRef") or {}
        binding = Binding(
            namespace,
            name,
            ref.get("kind", ""),
            ref.get("name", ""),
            tuple(_subject(subject, namespace) for subject in obj.get("subjects") or ()),
        )
        self._bindings[namespace, name] = binding
        for subject in binding.subjects:
            self._by_subject.setdefault((namespace, subject), {})[name] = binding

    def _remove(self, storage: GroupResource, namespace: str, name: str) -> None:
        if storage in (ROLES, CLUSTER_ROLES):
            self._roles.pop((namespace, name), None)
            return
        binding = self._bindings.pop((namespace, name), None)
        if binding is None:
            return
        for subject in binding.subjects:
            named = self._by_subject.get((namespace, subject))
            if named is not None:
                named.pop(name, None)
                if not named:
                    del self._by_subject[namespace, subject]

    def authorize(self, request: Attributes) -> Decision:
        """Decide one request. ``system:masters`` may do everything; then RBAC; what nothing allows is denied."""
        if request.user.is_master:
            return Decision(True)
        found = self._decisions.get(request)
        if found is None:
            found = self._decide(request)
            if len(self._decisions) >= _DECISIONS_KEPT:
                self._decisions.clear()
            self._decisions[request] = found
        return found

    def _decide(self, request: Attributes) -> Decision:
        problems: list[str] = []
        for binding, subject in self._bindings_of(request.user, request.namespace):
            rules = self._rules_of(binding)
            if rules is None:
                problems.append(_missing_role(binding))
                continue
            if any(rule.allows(request) for rule in rules):
                shown = _described_subject(subject)
                return Decision(
                    True,
                    f'RBAC: allowed by {binding.described} of {binding.role_kind} "{binding.role_name}" to {shown}',
                )
        return Decision(False, _joined(problems))

    def rules_for(self, user: UserInfo, namespace: str = "") -> tuple[list[Rule], list[str]]:
        """All rules that ``user`` holds in ``namespace`` (``""``: cluster-wide only), and the unresolved bindings."""
        rules: list[Rule] = []
        problems: list[str] = []
        if user.is_master:
            rules.append(Rule(("*",), ("*",), ("*",)))
            rules.append(Rule(("*",), urls=("*",)))
        for binding, _ in self._bindings_of(user, namespace):
            found = self._rules_of(binding)
            if found is None:
                problems.append(_missing_role(binding))
            else:
                rules.extend(found)
        return rules, problems

    def role_rules(self, kind: str, name: str, namespace: str) -> tuple[Rule, ...] | None:
        """The rules of a referenced role; None where it does not exist."""
        return self._roles.get(("" if kind == "ClusterRole" else namespace, name))

    def _rules_of(self, binding: Binding) -> tuple[Rule, ...] | None:
        return self.role_rules(binding.role_kind, binding.role_name, binding.namespace)

    def _bindings_of(self, user: UserInfo, namespace: str) -> Iterator[tuple[Binding, Subject]]:
        """Bindings that name ``user``, cluster-wide ones first, each once, by name."""
        subjects = subjects_of(user)
        for scope in ("", namespace) if namespace else ("",):
            found: dict[str, tuple[Binding, Subject]] = {}
            for subject in subjects:
                for name, binding in self._by_subject.get((scope, subject), {}).items():
                    found.setdefault(name, (binding, subject))
            for name in sorted(found):
                yield found[name]


def _subject(subject: Mapping[str, Any], namespace: str) -> Subject:
    kind, name = subject.get("kind", ""), subject.get("name", "")
    if kind == "ServiceAccount":
        return (kind, f"{subject.get('namespace') or namespace}/{name}")
    return (kind, name)


def _described_subject(subject: Subject) -> str:
    kind, name = subject
    if kind == "ServiceAccount":
        namespace, _, account = name.partition("/")
        name = f"{account}/{namespace}"
    return f'{kind} "{name}"'


def _missing_role(binding: Binding) -> str:
    return f'{binding.role_kind.lower()}.{GROUP} "{binding.role_name}" not found'


def _joined(problems: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(problems))
    if not distinct:
        return ""
    return "RBAC: " + (distinct[0] if len(distinct) == 1 else "[" + ", ".join(distinct) + "]")
