"""URLs, by the rules of Go's request URIs: absolute, or an absolute path; no fragment, no control characters."""

from __future__ import annotations

import re
from typing import Any

from .. import types as t
from ..errors import EvaluationError
from ..functions import Library
from ..values import register_key

URLS = Library("urls")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_HOST = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:\[\]<>\"%\x80-\U0010ffff]*")
_PORT = re.compile(r":[0-9]*")


class Url:
    """A parsed URL."""

    __slots__ = ("host", "path", "query", "scheme", "text")

    def __init__(self, text: str, scheme: str, host: str, path: str, query: str) -> None:
        self.text = text
        self.scheme = scheme
        #: Host with port, escapes decoded.
        self.host = host
        #: The path as it was escaped.
        self.path = path
        self.query = query

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Url) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


register_key(Url, t.URL)


def parse_url(text: str) -> Url:
    """Parse an absolute URL or absolute path.

    Raises:
        EvaluationError: it is neither.
    """

    def fail(reason: str) -> EvaluationError:
        return EvaluationError(f'URL parse error during conversion from string: parse "{text}": {reason}')

    if not text:
        raise fail("empty url")
    if any(ord(char) < 32 or char == "\x7f" for char in text):
        raise fail("net/url: invalid control character in URL")
    rest, scheme = text, ""
    found = _SCHEME.match(text)
    if found:
        scheme, rest = found[1].lower(), text[found.end() :]
    elif text.partition("/")[0].find(":") == 0:
        raise fail("missing protocol scheme")
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if scheme:
            return Url(text, scheme, "", "", query)
        raise fail("invalid URI for request")
    host = ""
    if rest.startswith("//") and (scheme or not rest.startswith("///")) and scheme:
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        host = authority.rpartition("@")[2]
        if not _HOST.fullmatch(host):
            bad = next(char for char in host if not _HOST.fullmatch(char))
            raise fail(f'invalid character "{bad}" in host name')
        colon = host.rfind("]") + 1 if host.startswith("[") else host.find(":")
        if host.startswith("[") and "]" not in host:
            raise fail("missing ']' in host")
        port = host[colon:] if colon >= 0 else ""
        if port and not _PORT.fullmatch(port):
            raise fail(f'invalid port "{port}" after host')
        if _BAD_ESCAPE.search(host):
            raise fail("invalid URL escape")
        from urllib.parse import unquote

        host = unquote(host)
    bad_escape = _BAD_ESCAPE.search(rest)
    if bad_escape:
        raise fail(f'invalid URL escape "{rest[bad_escape.start() : bad_escape.start() + 3]}"')
    return Url(text, scheme, host, rest, query)


def _port_split(host: str) -> tuple[str, str]:
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        return name, port.removeprefix(":")
    name, colon, port = host.rpartition(":")
    return (name, port) if colon and (not port or port.isdigit()) else (host, "")


def _is_url(text: str) -> bool:
    try:
        parse_url(text)
    except EvaluationError:
        return False
    return True


def _query(url: Url) -> dict[str, list[str]]:
    from urllib.parse import unquote

    found: dict[str, list[str]] = {}
    for pair in url.query.split("&"):
        if not pair or ";" in pair or _BAD_ESCAPE.search(pair):
            continue
        key, _, value = pair.partition("=")
        found.setdefault(unquote(key.replace("+", " ")), []).append(unquote(value.replace("+", " ")))
    return found


def _escaped_path(url: Any) -> str:
    from urllib.parse import quote

    return quote(url.path, safe="/%:@!$&'()*+,;=~[]")


_declare = URLS.declare
_declare("url(string) -> url", parse_url, cost="string", base_cost=1)
_declare("isURL(string) -> bool", _is_url, cost="string", base_cost=1)
_declare("<url>.getScheme() -> string", lambda url: url.scheme)
_declare("<url>.getHost() -> string", lambda url: url.host)
_declare("<url>.getHostname() -> string", lambda url: _port_split(url.host)[0])
_declare("<url>.getPort() -> string", lambda url: _port_split(url.host)[1])
_declare("<url>.getEscapedPath() -> string", _escaped_path)
_declare("<url>.getQuery() -> map<string, list<string>>", _query)
