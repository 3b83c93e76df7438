"""Calls to webhooks, for admission and for conversion: over TLS, verified, within their time.

A webhook is reached by URL or by Service. What it sends is bounded; why it gave no usable answer is told in the words
that Kubernetes' users know and search for. What a failure means is the caller's to decide.
"""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import orjson

from merope.controlplane.webhookservices import ServiceUnresolved, resolve_service

if TYPE_CHECKING:
    from merope.controlplane.store import Store

_LARGEST_ANSWER: Final = 16 * 1024 * 1024
#: Certificate bundles whose TLS settings are kept.
_MOST_CONTEXTS: Final = 64


class CallFailed(Exception):
    """A webhook gave no usable answer; the text says why."""


class WebhookClient:
    """The connections to webhooks; none as long as nobody is called."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, client: Mapping[str, Any], review: Mapping[str, Any], *, seconds: float) -> Any:
        """The decoded answer to a review, within ``seconds``; ``client`` is a ``clientConfig``. Raises CallFailed."""
        url, hostname = self._address(client)
        url = f"{url}?timeout={seconds:g}s"
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        body = bytearray()
        try:
            async with self._session.post(
                url,
                data=orjson.dumps(review),
                headers={"Content-Type": "application/json", "Accept": "application/json"},
                ssl=self._context(client.get("caBundle") or ""),
                server_hostname=hostname or None,
                timeout=aiohttp.ClientTimeout(total=seconds),
                allow_redirects=False,
            ) as answer:
                async for piece in answer.content.iter_any():
                    body += piece
                    if len(body) > _LARGEST_ANSWER:
                        raise CallFailed("the answer is too large")
                if not 200 <= answer.status < 300:
                    raise CallFailed(f"unexpected status {answer.status} of {url}")
        except TimeoutError:
            raise CallFailed(f'Post "{url}": context deadline exceeded') from None
        except (aiohttp.ClientError, OSError) as error:
            raise CallFailed(f'Post "{url}": {_explained(error)}') from error
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise CallFailed(f"the answer is no JSON: {error}") from None

    def _address(self, client: Mapping[str, Any]) -> tuple[str, str]:
        """URL, and the name that its certificate must have where that is not the URL's own."""
        if client.get("url"):
            return client["url"], ""
        try:
            return resolve_service(self._store, client.get("service") or {})
        except ServiceUnresolved as error:
            raise CallFailed(str(error)) from error

    def _context(self, bundle: str) -> ssl.SSLContext:
        context = self._contexts.get(bundle)
        if context is None:
            try:
                pem = base64.b64decode(bundle).decode() if bundle else None
                context = ssl.create_default_context(cadata=pem)
            except (ValueError, ssl.SSLError) as error:
                raise CallFailed(f"caBundle: {error}") from error
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if len(self._contexts) >= _MOST_CONTEXTS:
                self._contexts.clear()
            self._contexts[bundle] = context
        return context


def _explained(error: Exception) -> str:
    """Why a connection failed, in the words that Kubernetes' users know and search for."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            found = error.certificate_error
            return f"tls: failed to verify certificate: x509: {getattr(found, 'verify_message', '') or found}"
        case aiohttp.ClientConnectorDNSError():
            return f"dial tcp: lookup {error.host}: no such host"
        case aiohttp.ClientConnectorSSLError():
            return f"tls: {getattr(error.os_error, 'reason', '') or error.os_error}"
        case aiohttp.ClientConnectorError():
            where = f"[{error.host}]" if ":" in error.host else error.host
            number = error.os_error.errno
            described = os.strerror(number).lower() if number else str(error.os_error)
            return f"dial tcp {where}:{error.port}: connect: {described}"
        case aiohttp.ServerDisconnectedError():
            return "EOF"
    return str(error)
