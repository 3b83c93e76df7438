"""The Secret of the hub credential: kept valid by a driver, and kept as files where the process uses it.

One key, reconciled when the Secret changes, when the driver's request changes, when renewal is due, and every five
minutes. What a driver produced stays in memory until it is stored; only then is its success reported.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from merope.kube import CORE, AlreadyExists, Client, Conflict, Controller, Informer, KubeError, Manifest, NotFound
from merope.registration.agent.csr import creation_failed
from merope.registration.agent.directory import HubDirectory
from merope.registration.agent.driver import Condition, Driver, Outcome
from merope.registration.agent.reporting import Reporter, explain, is_refused

_log = logging.getLogger(__name__)

SECRET: Final = CORE["Secret"]
RESYNC: Final = 300.0
_LONGEST: Final = 24 * 3600.0  # timers of a loop are not made for months


@dataclass(frozen=True)
class Place:
    """Where the credential is kept: a Secret of the managed cluster, and a directory."""

    client: Client
    namespace: str
    name: str
    directory: HubDirectory

    async def read(self) -> Manifest | None:
        """The Secret as it is now; None where there is none."""
        try:
            return await self.client.get(SECRET, self.name, self.namespace)
        except NotFound:
            return None

    async def store(self, content: Mapping[str, bytes]) -> Manifest:
        """Adds ``content`` to the Secret, or creates it."""
        while True:
            current = await self.read()
            secret: Manifest = current or {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": self.name, "namespace": self.namespace},
            }
            encoded = {name: base64.b64encode(value).decode() for name, value in content.items()}
            secret["data"] = {**(secret.get("data") or {}), **encoded}
            try:
                if current is None:
                    return await self.client.create(SECRET, secret, self.namespace)
                return await self.client.update(SECRET, secret)
            except (AlreadyExists, Conflict) as error:
                _log.debug("%s/%s: %s; reading it again", self.namespace, self.name, error)


def secret_data(secret: Mapping[str, Any] | None) -> dict[str, bytes]:
    """The decoded content of a Secret."""
    try:
        return {
            name: base64.b64decode(value or "", validate=True)
            for name, value in ((secret or {}).get("data") or {}).items()
        }
    except (binascii.Error, ValueError):
        return {}


class CredentialKeeper:
    """Lets a driver keep the hub credential valid.

    ``additional`` is stored beside the credential. ``stored`` is called when the files may have changed, with True
    where a new credential was written. ``report`` gets conditions. ``hub`` and ``credential`` are words for the log:
    the hub's URL, and whose credential is used to ask.
    """

    def __init__(
        self,
        place: Place,
        driver: Driver,
        additional: Mapping[str, bytes],
        *,
        hub: str,
        credential: str,
        reporter: Reporter,
        stored: Callable[[bool], None] = lambda written: None,
        report: Callable[[Condition], Awaitable[None]] | None = None,
        refused: Callable[[KubeError], None] = lambda error: None,
    ) -> None:
        self._place = place
        self._driver = driver
        self._additional = dict(additional)
        self._hub = hub
        self._credential = credential
        self._reporter = reporter
        self._stored = stored
        self._report = report
        self._refused = refused
        self._unwritten: Outcome | None = None

    def controller(self, name: str, secrets: Informer[Manifest]) -> Controller[str]:
        """The controller that runs this; ``secrets`` is an informer that sees the Secret."""
        controller: Controller[str] = Controller(name, self.reconcile, workers=1)
        controller.watches(
            secrets, lambda secret: [secret.name], when=lambda change: change.key.name == self._place.name
        )
        controller.every(RESYNC, lambda: [self._place.name])
        controller.add(self._place.name)
        return controller

    async def reconcile(self, key: str) -> float | None:
        """One round: read, let the driver take a step, store what it gave, report."""
        if self._unwritten is None:
            secret = await self._place.read()
            stored = secret_data(secret)
            self._dump(stored, False)
            outcome = await self._step(stored)
            if outcome.credential is None:
                await self._push(outcome.condition)
                return None if outcome.again is None else min(outcome.again, _LONGEST)
            self._unwritten = outcome
        outcome = self._unwritten
        assert outcome.credential is not None
        written = await self._place.store({**outcome.credential, **self._additional})
        self._unwritten = None
        _log.info("Secret %s/%s holds the hub credential", self._place.namespace, self._place.name)
        self._dump(secret_data(written), True)
        await self._push(outcome.condition)
        return outcome.again if outcome.again is not None else 0.0  # see when it has to be renewed

    async def _step(self, stored: Mapping[str, bytes]) -> Outcome:
        try:
            outcome = await self._driver.process(stored, self._additional)
        except KubeError as error:
            if is_refused(error):
                self._refused(error)
            text = explain(error, self._hub, self._credential, "asking for a client certificate")
            return Outcome(condition=creation_failed(error), again=self._reporter.problem("asking", text))
        self._reporter.solved("asking", f"the hub {self._hub} answers again")
        return outcome

    def _dump(self, content: Mapping[str, bytes], written: bool) -> None:
        changed = bool(content) and bool(self._place.directory.dump(content))
        if changed or written:
            self._stored(written)

    async def _push(self, condition: Condition | None) -> None:
        if condition is None or self._report is None:
            return
        try:
            await self._report(condition)
        except KubeError as error:
            _log.info("condition %s %s not reported: %s", condition.type, condition.status, error)
