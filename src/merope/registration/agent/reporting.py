"""Problems told to people: once when they begin or change, not at every retry, and once when they are over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from merope.kube import (
    ConnectionFailed,
    CredentialRefused,
    Forbidden,
    KubeError,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
)

_REMIND: Final = 600.0
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0


class Reporter:
    """Logs what stands in the way, by topic. The same text is repeated after ten minutes at the earliest."""

    def __init__(self, logger: logging.Logger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._open: dict[str, tuple[str, float]] = {}
        self._failures: dict[str, int] = {}

    def problem(self, topic: str, text: str, *, level: int = logging.WARNING) -> float:
        """Something stands in the way. Returns the seconds to wait before the next try, growing with every call."""
        known = self._open.get(topic)
        now = self._clock()
        if known is None or known[0] != text or now - known[1] >= _REMIND:
            self._logger.log(level, "%s", text)
            self._open[topic] = (text, now)
        failures = self._failures[topic] = self._failures.get(topic, 0) + 1
        return min(_LONGEST_PAUSE, _FIRST_PAUSE * float(2 ** min(failures - 1, 10)))

    def solved(self, topic: str, text: str = "") -> None:
        """It doesn't any more; ``text`` is said only where somebody was told of the problem."""
        self._failures.pop(topic, None)
        if self._open.pop(topic, None) is not None and text:
            self._logger.info("%s", text)


def is_refused(error: BaseException | None) -> bool:
    """Whether the server doesn't take our credential (as opposed to: the identity may not do this)."""
    return isinstance(error, (Unauthorized, CredentialRefused))


def explain(error: KubeError, server: str, credential: str, doing: str) -> str:
    """One line on a failed request: what was tried, what came of it, what to do.

    ``credential`` says which one was used ("the bootstrap kubeconfig /path"), ``doing`` what for ("asking for ...").
    """
    if is_refused(error):
        return (
            f"{doing}: the hub {server} refuses the credential of {credential}: it has expired or is another hub's. "
            "Make a new one on the hub and replace it; it is picked up without a restart"
        )
    if isinstance(error, Forbidden):
        return f"{doing}: the hub {server} forbids it to {credential}: {error.message}"
    if isinstance(error, ConnectionFailed):
        return (
            f"{doing}: the hub {server} can't be reached ({error}). "
            f"Is it running, and is the address in {credential} right?"
        )
    if isinstance(error, (ServiceUnavailable, TooManyRequests)):
        return f"{doing}: the hub {server} is overloaded or starting: {error.message}"
    return f"{doing}: {error}"
