"""Leader election on a Lease, as client-go does it: the two take turns on the same Lease.

The holder renews every ``retry_period``. Whoever wants to hold watches the record and takes it when it hasn't
changed for as long as the record says it lasts, measured on the own clock from the moment the change was seen
(clocks of different machines are never compared). A holder that couldn't renew for ``renew_deadline`` steps down at
once, which is before anybody else may take over. On a clean exit the Lease is given back, so that the next holder
needn't wait.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from merope.kube.client import Client
from merope.kube.errors import AlreadyExists, Conflict, KubeError, NotFound
from merope.kube.resources import CORE, Manifest

_log = logging.getLogger(__name__)

_LEASE = CORE["Lease"]
_JITTER = 1.2


class LeadershipLost(Exception):
    """The Lease could not be renewed in time, or somebody else has it: whatever only a leader may do must end now."""


@dataclass(frozen=True)
class LeaderTimes:
    """Seconds. The defaults are client-go's; the reference's components use ``OCM_LEADER_TIMES``."""

    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0

    def __post_init__(self) -> None:
        if not self.lease_duration > self.renew_deadline > self.retry_period * _JITTER:
            raise ValueError("leader election: needs lease_duration > renew_deadline > 1.2 * retry_period")


OCM_LEADER_TIMES = LeaderTimes(137.0, 107.0, 26.0)


def default_identity() -> str:
    """A name for this process that no other one has: host name and a random part."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


class LeaderElector:
    """Competes for one Lease. ``identity`` that persists over restarts takes its own Lease back without waiting."""

    def __init__(
        self,
        client: Client,
        name: str,
        namespace: str,
        *,
        identity: str | None = None,
        times: LeaderTimes = LeaderTimes(),
        release_on_exit: bool = True,
    ) -> None:
        self._client = client
        self.name = name
        self.namespace = namespace
        self.identity = identity or default_identity()
        self.times = times
        self._release_on_exit = release_on_exit
        self._observed: Manifest | None = None
        self._observed_spec: Any = None
        self._observed_at = 0.0
        self.leading = False
        """Whether this process holds the Lease now."""

    @property
    def holder(self) -> str:
        """Who held the Lease when it was last looked at; empty for nobody."""
        return str(((self._observed or {}).get("spec") or {}).get("holderIdentity") or "")

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Waits for the Lease, then runs ``lead`` while renewing; returns when it returns.

        Raises ``LeadershipLost`` (after ``lead`` was cancelled and has ended). To stop, cancel this, or let
        ``lead`` return.
        """
        await self.acquire()
        self.leading = True
        _log.info("%s/%s: leading as %s", self.namespace, self.name, self.identity)
        lost: LeadershipLost | None = None
        try:
            leading = asyncio.ensure_future(lead())
            renewing = asyncio.ensure_future(self._renew())
            try:
                await asyncio.wait({leading, renewing}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopped = [task for task in (leading, renewing) if not task.done()]
                for task in stopped:
                    task.cancel()
                if stopped:
                    await asyncio.wait(stopped)
            if renewing in stopped:
                leading.result()
                return
            lost = LeadershipLost(str(renewing.exception() or "the Lease was lost"))
            if leading not in stopped and not leading.cancelled() and leading.exception() is not None:
                raise lost from leading.exception()
            raise lost
        finally:
            self.leading = False
            if lost is None and self._release_on_exit:
                await self._release()

    async def acquire(self) -> None:
        """Returns when this process holds the Lease."""
        while True:
            try:
                if await self._try():
                    return
            except KubeError as error:
                _log.warning("%s/%s: can't get the lease: %s", self.namespace, self.name, error)
            await asyncio.sleep(self.times.retry_period * random.uniform(1.0, _JITTER))  # noqa: S311

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            deadline = loop.time() + self.times.renew_deadline
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        if await self._try():
                            break
                except (KubeError, TimeoutError) as error:
                    _log.warning("%s/%s: can't renew the lease: %s", self.namespace, self.name, error or "timed out")
                if self.holder not in ("", self.identity):
                    raise LeadershipLost(f"{self.namespace}/{self.name}: taken by {self.holder}")
                if loop.time() + self.times.retry_period > deadline:
                    raise LeadershipLost(f"{self.namespace}/{self.name}: not renewed for {self.times.renew_deadline} s")
                await asyncio.sleep(self.times.retry_period)
            await asyncio.sleep(self.times.retry_period)

    async def _try(self) -> bool:
        """One attempt to take or renew; whether this process holds the Lease now."""
        if self.leading and self._observed is not None and self.holder == self.identity:
            try:  # the common case: nobody touched it since, one request renews it
                await self._write(self._observed, renew=True)
                return True
            except (Conflict, NotFound):
                pass
        try:
            lease = await self._client.get(_LEASE, self.name, self.namespace)
        except NotFound:
            return await self._create()
        self._observe(lease)
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder and holder != self.identity:
            duration = float(spec.get("leaseDurationSeconds") or self.times.lease_duration)
            if self._observed_at + duration > asyncio.get_running_loop().time():
                return False
        try:
            await self._write(lease, renew=holder == self.identity)
        except Conflict:
            return False
        return True

    async def _create(self) -> bool:
        now = _micro_time()
        lease = {
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": int(self.times.lease_duration),
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        }
        try:
            self._observe(await self._client.create(_LEASE, lease, self.namespace))
        except AlreadyExists:
            return False
        return True

    async def _write(self, lease: Manifest, *, renew: bool) -> None:
        """A PUT, as client-go's: the roles that components have allow ``update`` of leases, and not always
        ``patch``.
        """
        spec = dict(lease.get("spec") or {})
        now = _micro_time()
        if not renew:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
        spec["holderIdentity"] = self.identity
        spec["leaseDurationSeconds"] = int(self.times.lease_duration)
        spec["renewTime"] = now
        self._observe(await self._client.update(_LEASE, {**lease, "spec": spec}))

    async def _release(self) -> None:
        if self._observed is None or self.holder != self.identity:
            return
        try:
            async with asyncio.timeout(5):
                try:
                    await self._give_back(self._observed)
                except Conflict:  # the server has stored a renewal that was cut short here
                    self._observe(await self._client.get(_LEASE, self.name, self.namespace))
                    if self.holder == self.identity:
                        await self._give_back(self._observed)
        except (KubeError, TimeoutError) as error:
            _log.info("%s/%s: not released: %s", self.namespace, self.name, error)

    async def _give_back(self, lease: Manifest) -> None:
        now = _micro_time()
        spec = {
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "leaseTransitions": (lease.get("spec") or {}).get("leaseTransitions", 0),
            "acquireTime": now,
            "renewTime": now,
        }
        self._observe(await self._client.update(_LEASE, {**lease, "spec": spec}))

    def _observe(self, lease: Manifest) -> None:
        spec = lease.get("spec")
        if self._observed is None or spec != self._observed_spec:
            self._observed_at = asyncio.get_running_loop().time()
            self._observed_spec = spec
        self._observed = lease


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def persistent_identity(path: str | os.PathLike[str]) -> str:
    """The identity kept in a file, made on first use: the same instance takes its Lease back at once after a
    restart.
    """
    try:
        with open(path, encoding="ascii") as file:
            if known := file.read().strip():
                return known
    except FileNotFoundError:
        pass
    identity = default_identity()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(identity + "\n")
    return identity
