"""What Kubernetes accepts as a name, a label key or a label value.

Every function returns the list of problems, empty where the text is valid, in the wording that an API server puts
into its `Status` messages: clients and tests match on those texts, so they are part of the interface.

All lengths are counted in bytes of UTF-8, whichever word the message uses for them.
"""

import functools
import re
from collections.abc import Callable

LABEL_MAX = 63
SUBDOMAIN_MAX = 253
#: Longest text, in characters, of which the answer is remembered: any label key that is valid.
_REMEMBERED_LENGTH = SUBDOMAIN_MAX + 1 + LABEL_MAX

_DNS1123_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS1123_SUBDOMAIN = rf"{_DNS1123_LABEL}(\.{_DNS1123_LABEL})*"
_DNS1035_LABEL = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED_NAME = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = rf"({_QUALIFIED_NAME})?"
_CONFIG_MAP_KEY = r"[-._a-zA-Z0-9]+"

_match_dns1123_label = re.compile(_DNS1123_LABEL).fullmatch
_match_dns1123_subdomain = re.compile(_DNS1123_SUBDOMAIN).fullmatch
_match_dns1035_label = re.compile(_DNS1035_LABEL).fullmatch
_match_qualified_name = re.compile(_QUALIFIED_NAME).fullmatch
_match_config_map_key = re.compile(_CONFIG_MAP_KEY).fullmatch


def regex_problem(message: str, pattern: str, *examples: str) -> str:
    """The server's sentence for a text that its pattern refuses."""
    if not examples:
        return f"{message} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {shown}regex used for validation is '{pattern}')"


def _remembered(check: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """Keep what was found out about short texts: the same few labels, keys and names come with every write."""
    known = functools.lru_cache(maxsize=4096)(lambda text: tuple(check(text)))

    @functools.wraps(check)
    def problems(text: str) -> list[str]:
        return list(known(text)) if len(text) <= _REMEMBERED_LENGTH else check(text)

    return problems


def _longer(text: str, limit: int) -> bool:
    return len(text) > limit or len(text.encode("utf-8", "surrogatepass")) > limit


@_remembered
def is_dns1123_label(text: str) -> list[str]:
    """Problems of a name of at most 63 lower-case letters, digits and dashes (namespaces, clusters, services)."""
    problems = []
    if _longer(text, LABEL_MAX):
        problems.append(f"must be no more than {LABEL_MAX} characters")
    if _match_dns1123_label(text):
        return problems
    if _match_dns1123_subdomain(text):
        problems.append("must not contain dots")
    else:
        problems.append(
            regex_problem(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
                "and must start and end with an alphanumeric character",
                _DNS1123_LABEL,
                "my-name",
                "123-abc",
            )
        )
    return problems


@_remembered
def is_dns1123_subdomain(text: str) -> list[str]:
    """Problems of a name of at most 253 characters made of labels joined by dots (most objects' names)."""
    return _subdomain(text, "characters")


def _subdomain(text: str, unit: str) -> list[str]:
    problems = []
    if _longer(text, SUBDOMAIN_MAX):
        problems.append(f"must be no more than {SUBDOMAIN_MAX} {unit}")
    if not _match_dns1123_subdomain(text):
        problems.append(
            regex_problem(
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
                "and must start and end with an alphanumeric character",
                _DNS1123_SUBDOMAIN,
                "example.com",
            )
        )
    return problems


@_remembered
def is_dns1035_label(text: str) -> list[str]:
    """Problems of a label that must start with a letter (service names, plurals and kinds of CRDs)."""
    problems = []
    if _longer(text, LABEL_MAX):
        problems.append(f"must be no more than {LABEL_MAX} characters")
    if not _match_dns1035_label(text):
        problems.append(
            regex_problem(
                "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
                "start with an alphabetic character, and end with an alphanumeric character",
                _DNS1035_LABEL,
                "my-name",
                "abc-123",
            )
        )
    return problems


@_remembered
def is_qualified_name(text: str) -> list[str]:
    """Problems of `name` or `prefix/name`: label and annotation keys, finalizers, condition types."""
    problems: list[str] = []
    regex = regex_problem(
        "must consist of alphanumeric characters, '-', '_' or '.', "
        "and must start and end with an alphanumeric character",
        _QUALIFIED_NAME,
        "MyName",
        "my.name",
        "123-abc",
    )
    parts = text.split("/")
    if len(parts) > 2:
        return [f"a valid label key {regex} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    name = parts[-1]
    if len(parts) == 2:
        if not parts[0]:
            problems.append("prefix part must be non-empty")
        else:
            problems.extend(f"prefix part {problem}" for problem in _subdomain(parts[0], "bytes"))
    if not name:
        problems.append("name part must be non-empty")
    elif _longer(name, LABEL_MAX):
        problems.append(f"name part must be no more than {LABEL_MAX} bytes")
    if not _match_qualified_name(name):
        problems.append(f"name part {regex}")
    return problems


@_remembered
def is_label_value(text: str) -> list[str]:
    """Problems of a label's value: empty, or at most 63 letters, digits, dashes, underscores and dots."""
    problems = []
    if _longer(text, LABEL_MAX):
        problems.append(f"must be no more than {LABEL_MAX} bytes")
    if text and not _match_qualified_name(text):
        problems.append(
            regex_problem(
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
                "and must start and end with an alphanumeric character",
                _LABEL_VALUE,
                "MyValue",
                "my_value",
                "12345",
            )
        )
    return problems


def is_config_map_key(text: str) -> list[str]:
    """Problems of a key of a ConfigMap's or Secret's data."""
    problems = []
    if _longer(text, SUBDOMAIN_MAX):
        problems.append(f"must be no more than {SUBDOMAIN_MAX} characters")
    if not _match_config_map_key(text):
        problems.append(
            regex_problem(
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
                _CONFIG_MAP_KEY,
                "key.name",
                "KEY_NAME",
                "key-name",
            )
        )
    if text == ".":
        problems.append("must not be '.'")
    elif text == "..":
        problems.append("must not be '..'")
    elif text.startswith(".."):
        problems.append("must not start with '..'")
    return problems


@_remembered
def is_path_segment_name(text: str) -> list[str]:
    """Problems of a name whose only rule is that it can stand in a URL path (RBAC objects)."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return [f"may not contain '{part}'" for part in ("/", "%") if part in text]
