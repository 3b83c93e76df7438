"""YAML request bodies, read as Kubernetes reads them: YAML 1.1 words are booleans, times stay text, keys are text."""

from __future__ import annotations

import math
import re
from typing import Any, Final

import yaml

from merope.controlplane.errors import REQUEST_LIMIT
from merope.controlplane.http.bodies import unencodable

#: Aliases of aliases can blow a small text up to a huge object; people use a handful.
_ALIAS_LIMIT: Final = 20
_MERGE: Final = "tag:yaml.org,2002:merge"
#: Characters of a bad value that complaints show.
_SHOWN: Final = 40

_LoaderBase: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class YamlError(ValueError):
    """The text is not YAML that can become JSON."""


class _Loader(_LoaderBase):  # type: ignore[misc]
    """A safe loader without timestamps, that notes duplicate keys."""

    def __init__(self, text: bytes | str) -> None:
        super().__init__(text)
        self.duplicates: list[str] = []

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Take over what merge keys bring, once: mappings that merge each other twice would double at each level."""
        stated = node.value
        super().flatten_mapping(node)
        if node.value is stated:
            return
        own = [pair for pair in stated if pair[0].tag != _MERGE]
        explicit = {pair[0].value for pair in own if isinstance(pair[0], yaml.ScalarNode)}
        merged: dict[Any, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value[: len(node.value) - len(own)]:
            name = key.value if isinstance(key, yaml.ScalarNode) else id(key)
            if name not in explicit:
                merged[name] = (key, value)
        node.value = [*merged.values(), *own]


def _check_aliases(text: str) -> None:
    """Refuse documents whose many aliases could multiply; only those that may have any are looked at twice."""
    if text.count("*") <= _ALIAS_LIMIT:
        return
    aliases = 0
    for event in yaml.parse(text, Loader=_LoaderBase):
        aliases += isinstance(event, yaml.AliasEvent)
        if aliases > _ALIAS_LIMIT:
            raise YamlError("yaml: document contains excessive aliasing")


def _check_size(value: Any) -> None:
    """Refuse a value that aliases make much larger than any body may be; each part is looked at once."""
    sizes: dict[int, int] = {}

    def size(part: Any) -> int:
        if isinstance(part, str):
            return len(part)
        if not isinstance(part, dict | list):
            return 1
        known = sizes.get(id(part))
        if known is None:
            children = part.values() if isinstance(part, dict) else part
            known = 2 + sum(map(size, children)) + (sum(map(len, part)) if isinstance(part, dict) else 0)
            sizes[id(part)] = known
        return known

    if size(value) > REQUEST_LIMIT:
        raise YamlError("yaml: document contains excessive aliasing")


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    loader.flatten_mapping(node)
    out: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = _key(loader.construct_object(key_node, deep=True))
        if key in out:
            line = key_node.start_mark.line + 1
            loader.duplicates.append(f'line {line}: key "{key}" already set in map')
        out[key] = loader.construct_object(value_node, deep=True)
    return out


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int | float):
        return str(key)
    if key is None:
        return "null"
    raise YamlError(f"unsupported map key of type: {type(key).__name__}")


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":int", ":float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
#: JSON knows no other types; tags of others are refused by name.
_Loader.yaml_constructors = {
    f"tag:yaml.org,2002:{kind}": yaml.SafeLoader.yaml_constructors[f"tag:yaml.org,2002:{kind}"]
    for kind in ("null", "bool", "str", "seq")
} | {None: yaml.SafeLoader.yaml_constructors[None]}
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_INT: Final = re.compile(r"^[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$")
_FLOAT: Final = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def _integer(loader: _Loader, node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node).replace("_", "")
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    octal = len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
    try:
        value = sign * int(digits, 8 if octal else 0)
        return value if -(2**63) <= value < 2**64 else float(value)
    except (ValueError, OverflowError):
        raise YamlError(f"yaml: cannot decode !!int `{text[:_SHOWN]}` as a number") from None


def _float(loader: _Loader, node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise YamlError(f"yaml: `{text[:_SHOWN]}` is no number that JSON can hold")
    return value


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)


def load(text: bytes) -> tuple[Any, list[str]]:
    """The document and the complaints about duplicate keys; raises YamlError."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        raise YamlError(f"yaml: invalid UTF-8: {error.reason}") from None
    try:
        _check_aliases(decoded)
        loader = _Loader(decoded)
        try:
            value = loader.get_single_data()
            if "*" in decoded:
                _check_size(value)
            if problem := unencodable(value):
                raise YamlError(f"yaml: {problem}")
            return value, loader.duplicates
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error)
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None and mark.line else ""
        raise YamlError(f"yaml: {where}{problem}") from None
    except RecursionError:
        raise YamlError("yaml: exceeded max depth") from None
