"""What makes a CustomResourceDefinition valid.

Places are named as the server's own type has them: what all versions have in common (for a definition with one
version that is everything) is reported at the top of the spec, ``spec.validation`` and the like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from merope.controlplane.crd.approval import approval_complaints
from merope.controlplane.crd.defaults import default_complaints
from merope.controlplane.crd.keywords import keyword_complaints
from merope.controlplane.crd.naming import ESTABLISHED, is_true
from merope.controlplane.crd.rule_checks import field_at, rule_complaints
from merope.controlplane.crd.structure import structural_complaints
from merope.controlplane.errors import (
    TOO_MANY,
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from merope.lang import names
from merope.lang.jsonpath import compile_jsonpath
from merope.lang.schema import TypeGraph

Object = Mapping[str, Any]

_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_MOST_SELECTABLE: Final = 8
_LONGEST_WARNING: Final = 256
#: Keywords that a root schema may have while its status is written apart.
_ROOT_WITH_STATUS: Final = (
    "Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern "
    "MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields "
    "XValidations"
)
_NOT_ROOT_WITH_STATUS: Final = (
    "default",
    "maxProperties",
    "minProperties",
    "enum",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "additionalProperties",
    "nullable",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
)
_MISSING: Final = "is an invalid path: does not refer to a valid field"
_NOT_SELECTABLE: Final = (
    "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."
)


def definition_complaints(definition: Object, old: Object | None, graph: TypeGraph) -> list[FieldError]:
    """All complaints about a definition; on update those that ``old``, the stored one, gives as well are left out."""
    spec = definition["spec"]
    errors = []
    if old is None:
        errors += _object_name(definition)
    found = _spec(spec, graph)
    if old is not None:
        if found:
            before = set(map(str, _spec(old["spec"], graph)))
            found = [error for error in found if str(error) not in before]
        errors += _immutable(spec, old)
    errors += found
    errors += _stored_versions(definition)
    return errors + approval_complaints(definition, old)


def _object_name(definition: Object) -> list[FieldError]:
    spec = definition["spec"]
    name = (definition.get("metadata") or {}).get("name") or ""
    if name == f"{(spec.get('names') or {}).get('plural') or ''}.{spec.get('group') or ''}":
        return []
    return [invalid_value("metadata.name", name, 'must be spec.names.plural+"."+spec.group')]


def _immutable(spec: Object, old: Object) -> list[FieldError]:
    before = old["spec"]
    errors = []
    if is_true(old, ESTABLISHED):
        if spec.get("scope") != before.get("scope"):
            errors.append(invalid_value("spec.scope", spec.get("scope"), "field is immutable"))
        if spec["names"].get("kind") != before["names"].get("kind"):
            errors.append(invalid_value("spec.names.kind", spec["names"].get("kind"), "field is immutable"))
    if spec.get("group") != before.get("group"):
        errors.append(invalid_value("spec.group", spec.get("group"), "field is immutable"))
    if spec["names"].get("plural") != before["names"].get("plural"):
        errors.append(invalid_value("spec.names.plural", spec["names"].get("plural"), "field is immutable"))
    return errors


def _stored_versions(definition: Object) -> list[FieldError]:
    path = "status.storedVersions"
    stored = (definition.get("status") or {}).get("storedVersions") or []
    versions = definition["spec"].get("versions") or ()
    if not stored:
        return [invalid_value(path, None, "must have at least one stored version")]
    errors = [
        invalid_value(path, stored, f"must have the storage version {version['name']}")
        for version in versions
        if version.get("storage") and version["name"] not in stored
    ]
    known = {version.get("name") for version in versions}
    for index, name in enumerate(stored):
        if name not in known:
            text = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and removes "
                f"{name} from status.storedVersions"
            )
            errors.append(invalid_value(f"{path}[{index}]", name, text))
    return errors


# --- spec ------------------------------------------------------------------------------------------------------------


def _spec(spec: Object, graph: TypeGraph) -> list[FieldError]:
    errors = _group(spec.get("group") or "")
    scope = spec.get("scope") or ""
    if not scope:
        errors.append(required("spec.scope"))
    elif scope not in ("Cluster", "Namespaced"):
        errors.append(not_supported("spec.scope", scope, ("Cluster", "Namespaced")))
    if spec.get("preserveUnknownFields"):
        text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        errors.append(invalid_value("spec.preserveUnknownFields", True, text))
    versions: Sequence[Object] = spec.get("versions") or []
    errors += _versions(versions)
    errors += _names(spec.get("names") or {})
    for path, version in _places_of(versions, "schema"):
        shared = path == "spec"
        place = f"{path}.{'validation' if shared else 'schema'}.openAPIV3Schema"
        errors += _schema(version, place, graph, versions if shared else [version])
    for keyword, check in (
        ("subresources", _subresources),
        ("additionalPrinterColumns", _columns),
        ("selectableFields", _selectable_fields),
    ):
        for path, version in _places_of(versions, keyword):
            errors += check(version, f"{path}.{keyword}")
    return errors + _conversion(spec.get("conversion") or {})


def _group(group: str) -> list[FieldError]:
    if not group:
        return [required("spec.group")]
    problems = names.is_dns1123_subdomain(group)
    if problems:
        return [invalid_value("spec.group", group, ",".join(problems))]
    if "." not in group:
        return [invalid_value("spec.group", group, "should be a domain with at least one dot")]
    return []


def _versions(versions: Sequence[Object]) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        if (version.get("schema") or {}).get("openAPIV3Schema") is None:
            errors.append(required(f"{path}.schema.openAPIV3Schema"))
        name = version.get("name") or ""
        problems = ",".join(names.is_dns1035_label(name))
        if problems:
            errors.append(invalid_value(f"{path}.name", name, problems))
            if index == 0:
                errors.append(invalid_value("spec.version", name, problems))
        errors += _deprecation(version, path)
    named = [version.get("name") for version in versions]
    if len(set(named)) < len(named):
        errors.append(invalid_value("spec.versions", _shown(versions), "must contain unique version names"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        text = "must have exactly one version marked as storage version"
        errors.append(invalid_value("spec.versions", _shown(versions), text))
    return errors


def _deprecation(version: Object, path: str) -> list[FieldError]:
    warning = version.get("deprecationWarning")
    if warning is None:
        return []
    place = f"{path}.deprecationWarning"
    if not version.get("deprecated"):
        return [invalid_value(place, warning, "can only be set for deprecated versions")]
    if not warning:
        return [invalid_value(place, warning, "must not be an empty string")]
    if len(warning) > _LONGEST_WARNING:
        return [invalid_value(place, warning, f"must be <= {_LONGEST_WARNING} characters in length")]
    if not warning.isprintable():
        return [invalid_value(place, warning, "must only contain printable UTF-8 characters")]
    return []


def _shown(versions: Sequence[Object]) -> orjson.Fragment:
    """Versions as complaints print them, in this order of fields: what all have in common stands elsewhere."""
    shown = [
        {
            "Name": version.get("name") or "",
            "Served": bool(version.get("served")),
            "Storage": bool(version.get("storage")),
            "Deprecated": bool(version.get("deprecated")),
            "DeprecationWarning": version.get("deprecationWarning"),
            "Schema": None if _is_common(versions, "schema") else version.get("schema"),
            "Subresources": None if _is_common(versions, "subresources") else version.get("subresources"),
            "AdditionalPrinterColumns": None
            if _is_common(versions, "additionalPrinterColumns")
            else version.get("additionalPrinterColumns"),
            "SelectableFields": None if _is_common(versions, "selectableFields") else version.get("selectableFields"),
        }
        for version in versions
    ]
    return orjson.Fragment(orjson.dumps(shown))


def _is_common(versions: Sequence[Object], keyword: str) -> bool:
    return all(version.get(keyword) == versions[0].get(keyword) for version in versions[1:])


def _places_of(versions: Sequence[Object], keyword: str) -> list[tuple[str, Object]]:
    """Where a part of the versions is reported, with the version that it is taken from."""
    if not versions:
        return []
    if _is_common(versions, keyword):
        return [("spec", versions[0])]
    return [(f"spec.versions[{index}]", version) for index, version in enumerate(versions)]


def _names(declared: Object) -> list[FieldError]:
    path = "spec.names"
    errors = [required(f"{path}.{key}") for key in ("plural", "singular", "kind", "listKind") if not declared.get(key)]
    for key in ("plural", "singular"):
        name = declared.get(key)
        problems = names.is_dns1035_label(name) if name else []
        if problems:
            errors.append(invalid_value(f"{path}.{key}", name, ",".join(problems)))
    for key in ("kind", "listKind"):
        name = declared.get(key)
        problems = names.is_dns1035_label(name.lower()) if name else []
        if problems:
            text = "may have mixed case, but should otherwise match: " + ",".join(problems)
            errors.append(invalid_value(f"{path}.{key}", name, text))
    for key in ("shortNames", "categories"):
        for index, name in enumerate(declared.get(key) or ()):
            problems = names.is_dns1035_label(name)
            if problems:
                errors.append(invalid_value(f"{path}.{key}[{index}]", name, ",".join(problems)))
    if declared.get("kind") and declared.get("kind") == declared.get("listKind"):
        text = "kind and listKind may not be the same"
        errors.append(invalid_value(f"{path}.listKind", declared["listKind"], text))
    return errors


# --- schema ----------------------------------------------------------------------------------------------------------


def _schema(version: Object, place: str, graph: TypeGraph, users: Sequence[Object]) -> list[FieldError]:
    """Complaints about a version's schema; ``users`` are all versions that have it."""
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is None:
        return []
    errors: list[FieldError] = []
    if any((one.get("subresources") or {}).get("status") is not None for one in users):
        errors += _root_with_status(schema, place)
    if schema.get("nullable"):
        errors.append(forbidden_field(f"{place}.nullable", "nullable cannot be true at the root"))
    keywords = _keywords(schema, place)
    if not _is_readable(keywords):
        return errors + keywords
    structure = structural_complaints(schema, place)
    errors += structure
    if not structure and not keywords:
        errors += default_complaints(schema, graph, place)
    errors += keywords
    if not errors:
        errors += rule_complaints(schema, place)
    return errors


def _is_readable(keywords: Sequence[FieldError]) -> bool:
    """Whether the schema uses only keywords that a structural schema has, so that its structure can be judged."""
    return not any(error.detail.endswith(("is not supported", "and not an array")) for error in keywords)


def _root_with_status(schema: Object, path: str) -> list[FieldError]:
    if (schema.get("type") or "object") != "object":
        text = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
        return [invalid_value(f"{path}.type", schema["type"], text)]
    if any(schema.get(keyword) for keyword in _NOT_ROOT_WITH_STATUS):
        text = (
            f"only [{_ROOT_WITH_STATUS}] fields are allowed at the root of the schema if the status subresource is "
            "enabled"
        )
        return [invalid_value(path, dict(schema), text)]
    return []


def _keywords(schema: Object, path: str, *, root: bool = True, forbidden: str = "") -> list[FieldError]:
    """Complaints about keywords in a schema and all below; ``forbidden``: why there must be no default here."""
    errors = keyword_complaints(schema, path)
    if schema.get("default") is not None and forbidden:
        errors.append(forbidden_field(f"{path}.default", f"must not be set {forbidden}"))
    for name, child in _children(schema, "properties"):
        below = forbidden
        if root and name in ("apiVersion", "kind", "metadata"):
            below = f"in top-level {name}"
        errors += _keywords(child, f"{path}.properties[{name}]", root=False, forbidden=below)
    for keyword in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(keyword), Mapping):
            errors += _keywords(schema[keyword], f"{path}.{keyword}", root=False, forbidden=forbidden)
    for keyword in ("allOf", "anyOf", "oneOf"):
        for index, branch in enumerate(schema.get(keyword) or ()):
            errors += _keywords(branch, f"{path}.{keyword}[{index}]", root=False, forbidden=forbidden)
    return errors


def _children(schema: Object, keyword: str) -> Sequence[tuple[str, Object]]:
    return list((schema.get(keyword) or {}).items())


# --- what is beside the schema ---------------------------------------------------------------------------------------


def _simple_path(path: str, place: str) -> list[FieldError]:
    if not path:
        return [required(place)]
    if not path.startswith("."):
        return [invalid_value(place, path, "must be a simple json path starting with .")]
    try:
        compile_jsonpath("{" + path + "}")
    except ValueError as error:
        return [invalid_value(place, path, str(error))]
    return []


def _subresources(version: Object, path: str) -> list[FieldError]:
    scale = (version.get("subresources") or {}).get("scale")
    if scale is None:
        return []
    errors: list[FieldError] = []
    for key, prefix in (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")):
        place, declared = f"{path}.scale.{key}", scale.get(key) or ""
        found = _simple_path(declared, place)
        if not found and not declared.startswith(f"{prefix}."):
            found = [invalid_value(place, declared, f"should be a json path under {prefix}")]
        errors += found
    selector = scale.get("labelSelectorPath") or ""
    if selector:
        place = f"{path}.scale.labelSelectorPath"
        found = _simple_path(selector, place)
        if not found and not selector.startswith((".spec.", ".status.")):
            found = [invalid_value(place, selector, "should be a json path under either .spec or .status")]
        errors += found
    return errors


def _columns(version: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        place = f"{path}[{index}]"
        if not column.get("name"):
            errors.append(required(f"{place}.name"))
        kind = column.get("type") or ""
        text = f"must be one of {','.join(_COLUMN_TYPES)}"
        if not kind:
            errors.append(required(f"{place}.type", text))
        elif kind not in _COLUMN_TYPES:
            errors.append(invalid_value(f"{place}.type", kind, text))
        form = column.get("format") or ""
        if form and form not in _COLUMN_FORMATS:
            errors.append(invalid_value(f"{place}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}"))
        errors += _simple_path(column.get("jsonPath") or "", f"{place}.JSONPath")
    return errors


def _selectable_fields(version: Object, path: str) -> list[FieldError]:
    declared = version.get("selectableFields") or ()
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    errors: list[FieldError] = []
    if len(declared) > _MOST_SELECTABLE:
        text = f"must have at most {_MOST_SELECTABLE} items"
        errors.append(FieldError(path, TOO_MANY, len(declared), text))
    seen: set[str] = set()
    for index, one in enumerate(declared):
        place = f"{path}[{index}].jsonPath"
        field = one.get("jsonPath") or ""
        if not field:
            errors.append(required(place))
            continue
        if field in seen:
            errors.append(duplicate(place, field))
        seen.add(field)
        found = field_at(schema, field)
        if found is None:
            errors.append(invalid_value(place, field, _MISSING))
        elif field.startswith(".metadata."):
            errors.append(invalid_value(place, field, "must not point to fields in metadata"))
        elif found.get("type") not in ("string", "boolean", "integer"):
            errors.append(invalid_value(place, field, _NOT_SELECTABLE))
    return errors


def _conversion(conversion: Object) -> list[FieldError]:
    path = "spec.conversion"
    strategy = conversion.get("strategy") or ""
    if not strategy:
        return [required(f"{path}.strategy")]
    if strategy not in ("None", "Webhook"):
        return [not_supported(f"{path}.strategy", strategy, ("None", "Webhook"))]
    webhook = conversion.get("webhook") or {}
    client, versions = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    client_path, versions_path = f"{path}.webhookClientConfig", f"{path}.conversionReviewVersions"
    if strategy == "None":
        text = "should not be set when strategy is not set to Webhook"
        errors = [forbidden_field(client_path, text)] if client is not None else []
        return errors + ([forbidden_field(versions_path, text)] if versions else [])
    errors = []
    if client is None:
        errors.append(required(client_path, "required when strategy is set to Webhook"))
    else:
        errors += _client(client, client_path)
    if not versions:
        errors.append(required(versions_path))
    for index, version in enumerate(versions):
        problems = names.is_dns1035_label(version)
        if problems:
            errors.append(invalid_value(f"{versions_path}[{index}]", version, ",".join(problems)))
        elif version in versions[:index]:
            errors.append(invalid_value(f"{versions_path}[{index}]", version, "duplicate version"))
    if versions and not {"v1", "v1beta1"} & set(versions):
        text = "must include at least one of v1, v1beta1"
        errors.append(invalid_value(versions_path, versions, text))
    return errors


def _client(client: Object, path: str) -> list[FieldError]:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        return [required(path, "exactly one of url or service is required")]
    if service is not None:
        # The reference reports a missing namespace under the name, too.
        errors = [required(f"{path}.service.name") for key in ("name", "namespace") if not service.get(key)]
        port = service.get("port", 443)
        if not 1 <= port <= 65535:
            errors.append(invalid_value(f"{path}.service.port", port, "port is not valid: must be between 1 and 65535"))
        return errors
    if not str(url).startswith("https://"):
        text = "'https' is the only allowed URL scheme; desired format: https://host[/path]"
        return [invalid_value(f"{path}.url", str(url).partition(":")[0], text)]
    return []
