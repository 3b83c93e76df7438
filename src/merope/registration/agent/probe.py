"""Whether the managed cluster's API server is well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import orjson

from merope.kube import ApiError, Client, ConnectionFailed, KubeError

_TIMEOUT: Final = 10.0
_GRACE: Final = 20.0
RECHECK: Final = 5.0


@dataclass(frozen=True)
class Answer:
    """What the API server said. ``code`` 0: nothing."""

    code: int
    text: str

    @property
    def complaint(self) -> str:
        """The answer in a condition's words."""
        return f"status code: {self.code}, {self.text}"


async def health(spoke: Client) -> Answer:
    """GET /livez, or /healthz where that is unknown or forbidden. No retries: a failure is an answer."""
    answer = await _get(spoke, "/livez")
    return await _get(spoke, "/healthz") if answer.code in (403, 404) else answer


async def version(spoke: Client) -> str:
    """The Kubernetes version of the API server. Raises KubeError."""
    answer = await _get(spoke, "/version")
    if answer.code != 200:
        raise ConnectionFailed(f"{spoke.config.server}/version: {answer.complaint}")
    try:
        return str(orjson.loads(answer.text)["gitVersion"])
    except (ValueError, KeyError, TypeError):
        raise ConnectionFailed(f"{spoke.config.server}/version: no version in the answer") from None


async def _get(spoke: Client, path: str) -> Answer:
    try:
        async with asyncio.timeout(_TIMEOUT):
            response = await spoke.stream(path, idle=_TIMEOUT)
            return Answer(response.status, (await response.read()).decode(errors="replace"))
    except ApiError as error:
        return Answer(error.code, error.message)
    except TimeoutError:
        return Answer(0, f"no answer in {_TIMEOUT:.0f} s")
    except KubeError as error:
        return Answer(0, str(error))


class Patience:
    """Failures count once they have lasted for 20 seconds: API servers restart. ``clock`` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: float | None = None

    def judge(self, healthy: bool) -> Literal["available", "unavailable", "pending"]:
        """What the newest answer means."""
        if healthy:
            self._since = None
            return "available"
        now = self._clock()
        if self._since is None:
            self._since = now
        return "unavailable" if now - self._since >= _GRACE else "pending"
