"""Which proxy a connection goes through: the kubeconfig's ``proxy-url``, else the environment as Go programs read
it.

``HTTPS_PROXY`` (or ``HTTP_PROXY`` for http:// servers, either in lower case as well) applies unless ``NO_PROXY``
names the server; this machine is never reached through a proxy of the environment.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from merope.kube.errors import ConfigError


def proxy_for(server: str, configured: str | None, environment: Mapping[str, str] | None = None) -> str | None:
    """The proxy URL for a server, or None for a direct connection. Raises ``ConfigError`` for schemes that can't be
    spoken.
    """
    proxy = configured or _from_environment(server, os.environ if environment is None else environment)
    if not proxy:
        return None
    if "://" not in proxy:
        proxy = "http://" + proxy
    if not proxy.startswith(("http://", "https://")):
        raise ConfigError(f"proxy {urlsplit(proxy).scheme}://...: only http and https proxies are supported")
    return proxy


def _from_environment(server: str, environment: Mapping[str, str]) -> str | None:
    url = urlsplit(server)
    name = "https_proxy" if url.scheme == "https" else "http_proxy"
    proxy = environment.get(name.upper()) or environment.get(name)
    if not proxy:
        return None
    excluded = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    port = url.port or (443 if url.scheme == "https" else 80)
    return None if bypasses(url.hostname or "", port, excluded) else proxy


def bypasses(host: str, port: int, excluded: str) -> bool:
    """Whether ``NO_PROXY`` (or being this very machine) exempts a host: names, ``.domains``, addresses, CIDRs,
    ``host:port``, ``*``.
    """
    host = host.lower().rstrip(".")
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    for entry in (part.strip().lower() for part in excluded.split(",")):
        if not entry:
            continue
        if entry == "*":
            return True
        if address is not None and "/" in entry:
            try:
                if address in ipaddress.ip_network(entry, strict=False):
                    return True
            except ValueError:
                pass
            continue
        name, wanted_port = _split_port(entry)
        if wanted_port is not None and wanted_port != port:
            continue
        if address is not None:
            if _address(name) == address:
                return True
            continue
        name = name.removeprefix("*")
        if host == name.removeprefix(".") and not name.startswith("."):
            return True
        if host.endswith(name if name.startswith(".") else f".{name}"):
            return True
    return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _split_port(entry: str) -> tuple[str, int | None]:
    if _address(entry) is not None:
        return entry, None
    name, separator, port = entry.rpartition(":")
    if separator and port.isdigit():
        return name, int(port)
    return entry, None
