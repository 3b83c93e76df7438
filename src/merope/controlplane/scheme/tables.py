"""Objects as the rows that kubectl prints.

kubectl does not know how to print anything: it asks for a ``Table`` and shows the cells it gets. A table is a list of
column definitions and one row an object. The columns of built-in kinds are in ``columns``; those of custom resources
come from their definition. Kinds without columns of their own show name and time of creation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson

from merope.controlplane.errors import bad_request
from merope.controlplane.resource import Column, GroupVersionKind, Resource

Object = dict[str, Any]
IncludeObject = Literal["None", "Metadata", "Object"]

UNKNOWN: Final = "<unknown>"
NONE: Final = "<none>"
INVALID: Final = "<invalid>"

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_YEAR: Final = 365 * _DAY

#: Kinds whose rows carry conditions: what kubectl uses to hide finished pods.
RowConditions = Callable[[Object], list[Object]]


def human_duration(seconds: float) -> str:
    """A span as kubectl prints ages: at most two units, coarser with growing span.

    >>> [human_duration(s) for s in (-2, 0, 119, 125, 3 * 3600, 50 * 3600, 800 * 86400)]
    ['<invalid>', '0s', '119s', '2m5s', '3h', '2d2h', '2y70d']
    """
    whole = int(seconds)
    if whole < -1:
        return INVALID
    if whole < 0:
        return "0s"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    for below, unit, name, rest, rest_name in (
        (10 * _MINUTE, _MINUTE, "m", 1, "s"),
        (3 * _HOUR, _MINUTE, "m", 0, ""),
        (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
        (2 * _DAY, _HOUR, "h", 0, ""),
        (8 * _DAY, _DAY, "d", _HOUR, "h"),
        (2 * _YEAR, _DAY, "d", 0, ""),
        (8 * _YEAR, _YEAR, "y", _DAY, "d"),
    ):
        if whole < below:
            remainder = whole % unit // rest if rest else 0
            return f"{whole // unit}{name}{remainder}{rest_name}" if remainder else f"{whole // unit}{name}"
    return f"{whole // _YEAR}y"


def parse_time(text: str) -> float | None:
    """Unix seconds of an RFC 3339 time, None when it is not one."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if "T" not in text or moment.tzinfo is None:
        return None
    return moment.astimezone(UTC).timestamp()


def age(timestamp: Any) -> str:
    """The age of a timestamp at the time of printing; ``<unknown>`` when there is none."""
    if not timestamp:
        return UNKNOWN
    then = parse_time(timestamp) if isinstance(timestamp, str) else None
    return INVALID if then is None else human_duration(time.time() - then)


def object_age(obj: Object) -> str:
    return age(obj["metadata"].get("creationTimestamp"))


def _name(obj: Object) -> str:
    return str(obj["metadata"].get("name", ""))


def _created_at(obj: Object) -> str:
    return obj["metadata"].get("creationTimestamp") or UNKNOWN


NAME: Final = Column(
    "Name", "string", _name, "name", "The name of the object, unique among the objects of its kind in its namespace."
)
AGE: Final = Column(
    "Age",
    "string",
    object_age,
    "",
    "The time since the object was created, in at most two units, the largest that fit.",
)
CREATED_AT: Final = Column(
    "Created At", "date", _created_at, "", "The time at which the server created the object, in RFC 3339 form and UTC."
)
#: The columns of a Scale, of whatever resource it is the scale.
SCALE: Final = (
    replace(NAME, format=""),
    Column("Desired", "integer", lambda scale: scale["spec"].get("replicas", 0), "", "The replicas that are wanted."),
    Column("Available", "integer", lambda scale: scale["status"]["replicas"], "", "The replicas that there are."),
    AGE,
)
#: The column of a custom resource whose definition declares none.
CUSTOM_AGE: Final = Column("Age", "date", object_age, "", AGE.description)


# --- custom resources --------------------------------------------------------------------------------------------


def columns_from_crd(version_spec: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns after the name that one version of a custom resource definition declares.

    A declared list replaces the default column with the age. The paths were checked when the definition was written.
    """
    declared = version_spec.get("additionalPrinterColumns")
    if not declared:
        return (CUSTOM_AGE,)
    return tuple(_custom_column(column) for column in declared)


def _custom_column(declared: Mapping[str, Any]) -> Column:
    from merope.lang.jsonpath import compile_jsonpath

    path = declared["jsonPath"]
    expression = compile_jsonpath("{" + path + "}")
    kind = declared["type"]

    def cell(obj: Object) -> Any:
        found = expression.find(obj)
        return _custom_cell(kind, found[0]) if found else None

    return Column(
        declared["name"],
        kind,
        cell,
        declared.get("format", ""),
        declared.get("description") or f"Custom resource definition column (in JSONPath format): {path}",
        declared.get("priority", 0),
    )


def _custom_cell(kind: str, value: Any) -> Any:
    """A value as the declared type of its column has it; None where it is of another type."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "string":
            return _text(value)
        case "integer":
            return int(value) if number else None
        case "number":
            return value if number else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            return age(value) if isinstance(value, str) else None
    return None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict | list | bool):
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return str(value)


# --- tables ------------------------------------------------------------------------------------------------------


def columns_of(resource: Resource) -> tuple[Column, ...]:
    """All columns of a resource, the name included (events have it last)."""
    if resource.columns is None:
        return (NAME, CREATED_AT)
    if any(column.format == "name" for column in resource.columns):
        return resource.columns
    return (NAME, *resource.columns)


def check_include_object(value: str) -> IncludeObject:
    """The value of the query option ``includeObject``; the default is ``Metadata``."""
    match value:
        case "None" | "Metadata" | "Object":
            return value
        case "":
            return "Metadata"
    raise bad_request(
        "Unable to convert to Table as requested: includeObject: Invalid value: "
        f"{orjson.dumps(value).decode()}: must be 'Metadata', 'Object', 'None', or empty"
    )


def table(
    resource: Resource,
    objects: Sequence[Object],
    *,
    list_meta: Mapping[str, Any] | None = None,
    include_object: str = "Metadata",
    headers: bool = True,
    columns: Sequence[Column] | None = None,
) -> Object:
    """A ``Table`` of ``objects``, with the columns of their resource or those given.

    ``list_meta`` becomes its metadata. ``include_object`` tells what of each object goes along: None, its metadata, or
    all. ``headers`` False leaves the definitions of the columns out: in a watch only the first event has them.
    Raises ApiError 400 for an unknown ``include_object``.
    """
    included = check_include_object(include_object)
    conditions = row_conditions(resource.gvk) if columns is None else None
    columns = columns_of(resource) if columns is None else columns
    rows = []
    for obj in objects:
        row: Object = {"cells": [column.cell(obj) for column in columns]}
        if conditions is not None and (found := conditions(obj)):
            row["conditions"] = found
        row["object"] = _included(obj, included)
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": dict(list_meta or {}),
        "columnDefinitions": [_definition(column) for column in columns] if headers else [],
        "rows": rows,
    }


def row_conditions(gvk: GroupVersionKind) -> RowConditions | None:
    from merope.controlplane.scheme import columns

    return columns.ROW_CONDITIONS.get(gvk)


def _included(obj: Object, included: IncludeObject) -> Object | None:
    if included == "None":
        return None
    if included == "Object":
        return obj
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def _definition(column: Column) -> Object:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }
