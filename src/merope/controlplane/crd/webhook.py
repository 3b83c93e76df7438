"""Calls to conversion webhooks: over TLS, verified, within their time."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    import aiohttp

    from merope.controlplane.store import Store

_SECONDS: Final = 30.0
_LARGEST_ANSWER: Final = 16 * 1024 * 1024
_MOST_CONTEXTS: Final = 64


class CallFailed(Exception):
    """A webhook gave no usable answer; the text says why."""


class ConversionWebhooks:
    """The connections of one server to its conversion webhooks; none as long as nothing is converted."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, client: Mapping[str, Any], review: Mapping[str, Any]) -> Any:
        """The decoded answer to a review; ``client`` is the webhook's ``clientConfig``. Raises CallFailed."""
        import aiohttp

        url, hostname = self._address(client)
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        try:
            async with self._session.post(
                f"{url}?timeout={_SECONDS:g}s",
                data=orjson.dumps(review),
                headers={"Content-Type": "application/json", "Accept": "application/json"},
                ssl=self._context(client.get("caBundle") or ""),
                server_hostname=hostname or None,
                timeout=aiohttp.ClientTimeout(total=_SECONDS),
                allow_redirects=False,
            ) as answer:
                body = bytearray()
                async for piece in answer.content.iter_any():
                    body += piece
                    if len(body) > _LARGEST_ANSWER:
                        raise CallFailed("the answer is too large")
                if not 200 <= answer.status < 300:
                    raise CallFailed(f"the server answered with status {answer.status}")
        except TimeoutError:
            raise CallFailed(f'Post "{url}": context deadline exceeded') from None
        except (aiohttp.ClientError, OSError) as error:
            raise CallFailed(f'Post "{url}": {error}') from error
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise CallFailed(f"the answer is no JSON: {error}") from None

    def _address(self, client: Mapping[str, Any]) -> tuple[str, str]:
        """URL, and the name that its certificate must have where that is not the URL's own."""
        from merope.controlplane.admission.services import ServiceUnresolved, resolve_service

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
