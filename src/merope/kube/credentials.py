"""The credential of the moment: read from files that rotate, printed by plugins, renewed at an issuer.

``Credentials.current()`` is asked before every request and nearly always answers from memory. Files are looked at
again after a second (their times, not their content), plugins and OIDC issuers are asked again shortly before what
they gave expires. ``Credentials.invalidate()`` is what a 401 does: whatever can be renewed is renewed at the next
question.

The answer is one immutable value; it is the *same* value as long as nothing changed, which is how the transport
knows whether its connections still speak for the right identity.
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic, time
from typing import Any, Final

import orjson

from merope.kube.config import ClientConfig, ExecConfig, OidcConfig
from merope.kube.errors import ConfigError
from merope.kube.tls import client_context

_FILE_INTERVAL: Final = 1.0  # seconds between looks at files
_EARLY: Final = 10.0  # seconds before its expiry that a plugin's or issuer's token is renewed
_PLUGIN_TIMEOUT: Final = 60.0
_OUTPUT_LIMIT: Final = 1024 * 1024


@dataclass(frozen=True)
class Credential:
    """Who we are right now. Equal values are the same identity and the same keys."""

    authorization: str | None = field(default=None, repr=False)
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    ca: bytes | None = None

    def same_tls(self, other: Credential) -> bool:
        """Whether connections made for the other one serve this one too (only the token may differ)."""
        return (self.ca, self.certificate, self.key) == (other.ca, other.certificate, other.key)


class _File:
    """The content of a file that somebody else replaces."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._content = b""

    def read(self) -> bytes:
        """The content, read again where size, time or inode changed. A file that vanished keeps its last content."""
        try:
            stat = os.stat(self._path)
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp != self._stamp:
                with open(self._path, "rb") as file:
                    self._content = file.read()
                self._stamp = stamp
        except OSError as error:
            if self._stamp is None:
                raise ConfigError(f"credential file {self._path}: {error.strerror}") from error
        return self._content


class Credentials:
    """The changing credential of one ``ClientConfig``."""

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._files = {
            name: _File(path)
            for name, path in (
                ("ca", None if config.ca_data else config.ca_file),
                ("certificate", None if config.certificate_data else config.certificate_file),
                ("key", None if config.key_data else config.key_file),
                ("token", config.token_file),
            )
            if path
        }
        self._current: Credential | None = None
        self._check_at = 0.0
        self._renewed: _Renewed | None = None
        self._lock = asyncio.Lock()

    async def current(self) -> Credential:
        """The credential to use now. Raises ``ConfigError`` where a file, plugin or issuer fails and nothing older
        is valid.
        """
        current = self._current
        if current is not None and monotonic() < self._check_at:
            return current
        if self._config.exec is None and self._config.oidc is None:
            return self._settle(None, monotonic() + _FILE_INTERVAL)
        async with self._lock:
            if self._current is not None and monotonic() < self._check_at:
                return self._current
            renewed = self._renewed
            if renewed is None or renewed.expires - _EARLY <= time():
                renewed = await self._renew(renewed)
                self._renewed = renewed
            return self._settle(renewed, monotonic() + _FILE_INTERVAL)

    def invalidate(self) -> bool:
        """The server refused the credential. Returns whether there is any hope that the next one differs."""
        self._check_at = 0.0
        if self._config.exec is not None or self._config.oidc is not None:
            if self._renewed is not None:
                self._renewed = replace(self._renewed, expires=0.0)
            return True
        return bool(self._files)

    def _settle(self, renewed: _Renewed | None, check_at: float) -> Credential:
        config = self._config
        content = {name: file.read() for name, file in self._files.items()}
        authorization = None
        token = content["token"].decode().strip() if "token" in content else config.token
        if renewed is not None and renewed.token:
            token = renewed.token
        if token:
            authorization = f"Bearer {token}"
        elif config.username is not None:
            pair = f"{config.username}:{config.password or ''}".encode()
            authorization = f"Basic {base64.b64encode(pair).decode()}"
        certificate = config.certificate_data or content.get("certificate")
        key = config.key_data or content.get("key")
        if renewed is not None and renewed.certificate:
            certificate, key = renewed.certificate, renewed.key
        fresh = Credential(authorization, certificate, key, config.ca_data or content.get("ca"))
        if self._current is None or fresh != self._current:
            self._current = fresh
        self._check_at = check_at
        return self._current

    async def _renew(self, previous: _Renewed | None) -> _Renewed:
        if self._config.exec is not None:
            return await run_plugin(self._config.exec, self._config)
        assert self._config.oidc is not None
        return await _oidc_token(self._config.oidc, previous)


@dataclass(frozen=True)
class _Renewed:
    """What a plugin or an issuer gave. ``expires`` is in seconds since the epoch."""

    token: str = field(default="", repr=False)
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    expires: float = float("inf")
    refresh_token: str = field(default="", repr=False)


async def run_plugin(plugin: ExecConfig, config: ClientConfig) -> _Renewed:
    """Runs a client-go credential plugin (``client.authentication.k8s.io``) and reads what it prints."""
    interactive = plugin.interactive_mode != "Never" and sys.stdin is not None and sys.stdin.isatty()
    if plugin.interactive_mode == "Always" and not interactive:
        raise ConfigError(
            f"credential plugin {plugin.command}: wants a terminal (interactiveMode Always), there is none"
        )
    spec: dict[str, Any] = {"interactive": interactive}
    if plugin.provide_cluster_info:
        spec["cluster"] = _cluster_info(config, plugin)
    request = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
    environment = {**os.environ, **plugin.env, "KUBERNETES_EXEC_INFO": orjson.dumps(request).decode()}
    try:
        process = await asyncio.create_subprocess_exec(
            plugin.command,
            *plugin.args,
            env=environment,
            stdin=None if interactive else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=None if interactive else asyncio.subprocess.PIPE,
        )
    except OSError as error:
        hint = f"\n{plugin.install_hint}" if plugin.install_hint else ""
        raise ConfigError(f"credential plugin {plugin.command}: {error.strerror}{hint}") from error
    try:
        async with asyncio.timeout(_PLUGIN_TIMEOUT):
            output, complaints = await process.communicate()
    except TimeoutError:
        raise ConfigError(f"credential plugin {plugin.command}: no answer in {_PLUGIN_TIMEOUT:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = (complaints or b"")[-500:].decode("utf-8", "replace").strip()
        raise ConfigError(f"credential plugin {plugin.command}: exit code {process.returncode}: {said}")
    return _plugin_answer(plugin, output)


def _plugin_answer(plugin: ExecConfig, output: bytes) -> _Renewed:
    where = f"credential plugin {plugin.command}"
    if len(output) > _OUTPUT_LIMIT:
        raise ConfigError(f"{where}: printed more than {_OUTPUT_LIMIT} bytes")
    try:
        answer = orjson.loads(output)
    except ValueError:
        raise ConfigError(f"{where}: printed something that is no JSON") from None
    if not isinstance(answer, dict) or answer.get("kind") != "ExecCredential":
        raise ConfigError(f"{where}: printed no ExecCredential")
    if answer.get("apiVersion") != plugin.api_version:
        raise ConfigError(f"{where}: asked for {plugin.api_version}, got {answer.get('apiVersion')!r}")
    status = answer.get("status") or {}
    token, certificate, key = status.get("token"), status.get("clientCertificateData"), status.get("clientKeyData")
    if bool(certificate) != bool(key):
        raise ConfigError(f"{where}: clientCertificateData and clientKeyData must come together")
    if not token and not certificate:
        raise ConfigError(f"{where}: gave neither a token nor a certificate")
    expires = float("inf")
    if status.get("expirationTimestamp"):
        expires = _timestamp(status["expirationTimestamp"], where)
    return _Renewed(token or "", certificate.encode() if certificate else None, key.encode() if key else None, expires)


def _timestamp(text: str, where: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{where}: expirationTimestamp {text!r} is no RFC 3339 time") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _cluster_info(config: ClientConfig, plugin: ExecConfig) -> dict[str, Any]:
    info: dict[str, Any] = {"server": config.server}
    if config.tls_server_name:
        info["tls-server-name"] = config.tls_server_name
    if config.insecure:
        info["insecure-skip-tls-verify"] = True
    ca = config.ca_data or (_File(config.ca_file).read() if config.ca_file else None)
    if ca:
        info["certificate-authority-data"] = base64.b64encode(ca).decode()
    if config.proxy_url:
        info["proxy-url"] = config.proxy_url
    if plugin.cluster_extension is not None:
        info["config"] = plugin.cluster_extension
    return info


def token_expiry(token: str) -> float:
    """When a JWT expires, in seconds since the epoch; infinity where it doesn't say. The signature is the server's
    business.
    """
    try:
        payload = token.split(".")[1]
        claims: Mapping[str, Any] = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, ValueError, TypeError):
        return float("inf")


async def _oidc_token(oidc: OidcConfig, previous: _Renewed | None) -> _Renewed:
    """The id token of the kubeconfig while it lasts, then new ones from the issuer's token endpoint.

    A renewed token lives in this process only: kubeconfigs belong to their owner and aren't rewritten.
    """
    if previous is None and oidc.id_token and token_expiry(oidc.id_token) - _EARLY > time():
        return _Renewed(oidc.id_token, expires=token_expiry(oidc.id_token))
    refresh_token = (previous.refresh_token if previous else "") or oidc.refresh_token
    if not refresh_token or not oidc.issuer_url:
        raise ConfigError("the OIDC id-token has expired and there is no refresh-token: log in again")
    import aiohttp

    context = client_context(oidc.issuer_ca)
    where = f"OIDC issuer {oidc.issuer_url}"
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            discovery = oidc.issuer_url.rstrip("/") + "/.well-known/openid-configuration"
            async with session.get(discovery, ssl=context) as response:
                endpoint = orjson.loads(await response.read())["token_endpoint"]
            form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": oidc.client_id}
            if oidc.client_secret:
                form["client_secret"] = oidc.client_secret
            async with session.post(endpoint, data=form, ssl=context) as response:
                if response.status != 200:
                    raise ConfigError(f"{where}: refused to renew the token (HTTP {response.status}): log in again")
                answer = orjson.loads(await response.read())
                token = answer["id_token"]
    except (aiohttp.ClientError, TimeoutError, KeyError, ValueError) as error:
        raise ConfigError(f"{where}: can't renew the token: {type(error).__name__}") from error
    return _Renewed(token, expires=token_expiry(token), refresh_token=answer.get("refresh_token") or refresh_token)
