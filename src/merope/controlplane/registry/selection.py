"""Label and field selectors of a request, as one predicate on stored objects."""

from __future__ import annotations

from collections.abc import Callable

from merope.controlplane.entry import EVERYTHING, Entry, Selection
from merope.controlplane.errors import ApiError, bad_request
from merope.controlplane.registry.views import Views
from merope.controlplane.resource import Resource
from merope.lang.selectors import FieldTerm, SelectorError, parse_field_selector, parse_label_selector


def select(resource: Resource, labels: str, fields: str, views: Views) -> Selection:
    """The selection of the two texts; 400 where one cannot be understood or names a field that is not selectable."""
    if not labels and not fields:
        return EVERYTHING
    try:
        label_selector = parse_label_selector(labels)
        terms = parse_field_selector(fields).terms
    except SelectorError as error:
        raise bad_request(str(error)) from None
    tests: list[Callable[[Entry], bool]] = []
    for term in terms:
        tests.append(_field_test(resource, term, views))
    if not label_selector.empty:
        tests.append(lambda entry: label_selector.matches(entry.labels))
    if not tests:
        return EVERYTHING
    key = (resource.group, resource.version, labels, fields)
    if len(tests) == 1:
        return Selection(key, tests[0])
    return Selection(key, lambda entry: all(test(entry) for test in tests))


def _field_test(resource: Resource, term: FieldTerm, views: Views) -> Callable[[Entry], bool]:
    value, negated = term.value, term.negated
    if term.path == "metadata.name":
        return lambda entry: (entry.name == value) is not negated
    if term.path == "metadata.namespace":
        return lambda entry: (entry.namespace == value) is not negated
    read = resource.selectable.get(term.path)
    if read is None:
        raise _unsupported(resource, term.path)
    return lambda entry: (read(views.shared_now(resource, entry)) == value) is not negated


def _unsupported(resource: Resource, path: str) -> ApiError:
    if resource.builtin and not resource.selectable:
        return bad_request(f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"')
    return bad_request(f"field label not supported: {path}")


def pinned(fields: str, path: str) -> str:
    """The value that a field selector demands for ``path``, ``""`` where it demands none."""
    if path not in fields:
        return ""
    try:
        return parse_field_selector(fields).exact(path) or ""
    except SelectorError:
        return ""
