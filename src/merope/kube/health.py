"""The health endpoints of a process: ``/healthz``, ``/readyz``, ``/metrics`` over plain HTTP, for probes and
scrapers.

A check is a function that returns None when all is well, else what is wrong. ``/healthz`` answers whether the
process should go on living, ``/readyz`` whether it does its work yet; ``?verbose`` lists the checks one by one, and
``/readyz/NAME`` asks a single one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

from merope.kube.metrics import Metrics

if TYPE_CHECKING:
    from aiohttp import web

Check: TypeAlias = Callable[[], str | None]


class Health:
    """Checks by name, and the server that answers for them."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.live: dict[str, Check] = {"ping": lambda: None}
        self.ready: dict[str, Check] = {}
        self.address = ""
        """``host:port`` while serving."""

    @asynccontextmanager
    async def serve(self, bind: str | None) -> AsyncIterator[None]:
        """Serves on ``host:port`` (port 0: any free one); None serves nothing. Raises ``OSError`` for a port in use."""
        if bind is None:
            yield
            return
        from aiohttp import web  # the server half of aiohttp is not loaded where nobody asks

        host, _, port = bind.rpartition(":")
        runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host.strip("[]") or None, int(port)).start()
            bound = runner.addresses[0]
            self.address = f"{bound[0]}:{bound[1]}"
            yield
        finally:
            self.address = ""
            await runner.cleanup()

    def failures(self, checks: dict[str, Check]) -> dict[str, str]:
        """What is wrong, by check."""
        found: dict[str, str] = {}
        for name, check in checks.items():
            try:
                problem = check()
            except Exception as error:  # a check that can't tell is a check that fails
                problem = f"{type(error).__name__}: {error}"
            if problem is not None:
                found[name] = problem
        return found

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        from aiohttp import web

        path = request.path.rstrip("/")
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405)
        if path == "/metrics":
            return web.Response(text=self._metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})
        head, _, name = path.lstrip("/").partition("/")
        checks = {"healthz": self.live, "livez": self.live, "readyz": self.ready}.get(head)
        if checks is None or (name and name not in checks):
            return web.Response(status=404, text="not found\n")
        if name:
            checks = {name: checks[name]}
        failures = self.failures(checks)
        if not failures and "verbose" not in request.query:
            return web.Response(text="ok")
        lines = [f"[-]{check} failed: {failures[check]}" if check in failures else f"[+]{check} ok" for check in checks]
        lines.append(f"{head} check {'failed' if failures else 'passed'}")
        return web.Response(status=500 if failures else 200, text="\n".join(lines) + "\n")
