"""The hub: which controllers and webhooks make it up, and the order in which they start.

Each component runs with an identity and a lock of its own, those that the reference's component of the same name has,
so that parts of a hub may be the reference's. In one process they share nothing but the event loop. The webhooks are
served by every replica; the controllers run where the lock is held.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from merope.kube import Client, ClientConfig, ConfigError, LeaderElector, LeadershipLost, LeaderTimes, Manager
from merope.kube.leader import default_identity
from merope.placement import hub as placement_hub
from merope.registration import admission as registration_admission
from merope.registration import hub as registration_hub
from merope.registration.hub import RegistrationHubOptions
from merope.sdk.webhooks import ClusterHub, WebhookServer, WebhookService
from merope.work import admission as work_admission
from merope.work import hub as work_hub

_logger = logging.getLogger(__name__)

HUB_NAMESPACE: Final = "open-cluster-management-hub"
COMPONENTS: Final = ("registration", "placement", "work")
#: Names of the components' locks, as the reference has them.
LOCKS: Final[Mapping[str, str]] = {
    "registration": "registration-controller-lock",
    "placement": "placement-lock",
    "work": "work-manager-lock",
}
#: Names of the components' kubeconfig files in a directory of kubeconfigs.
IDENTITIES: Final[Mapping[str, str]] = {
    "registration": "registration-controller",
    "placement": "placement-controller",
    "work": "work-controller",
    "webhook": "registration-webhook",
}
#: Requests a second that a component may make, and at once.
_QPS: Final = 200.0
_BURST: Final = 400.0


@dataclass(frozen=True)
class HubOptions:
    """How a hub runs.

    ``configs`` are client configurations by component (``webhook`` included). ``webhook_bind`` is HOST:PORT of the
    webhooks' listener, ``webhook_url`` how API servers reach it (default: the same); None serves no webhooks.
    ``health`` is HOST:PORT of the health endpoints. ``leader_times`` None runs the controllers without election.
    ``identity`` is the holder of the locks; one that persists takes its own locks back at once. It must be this
    process's alone: two processes of one identity would both hold the locks. None: a new one that nobody else has.
    """

    configs: Mapping[str, ClientConfig]
    namespace: str = HUB_NAMESPACE
    components: Sequence[str] = COMPONENTS
    webhook_bind: str | None = None
    webhook_url: str | None = None
    health: str | None = None
    leader_times: LeaderTimes | None = None
    identity: str | None = None
    registration: RegistrationHubOptions = field(default_factory=RegistrationHubOptions)

    def config(self, component: str) -> ClientConfig:
        """Raises ConfigError where there is none for ``component``."""
        found = self.configs.get(component) or self.configs.get("")
        if found is None:
            raise ConfigError(f"no kubeconfig for the hub's component {component!r}")
        return found


def single(config: ClientConfig) -> Mapping[str, ClientConfig]:
    """One configuration for all components."""
    return {"": config}


async def run(options: HubOptions, *, ready: Callable[[], None] = lambda: None, stop: asyncio.Event) -> None:
    """Run the hub until ``stop`` is set. ``ready`` is called once webhooks are served and all caches are complete.

    Raises ``kube.KubeError`` where the API server refuses what the hub cannot do without, ConfigError, and OSError
    where a port is taken. A lock that is lost ends the controllers, which then compete for it again.
    """
    async with contextlib.AsyncExitStack() as stack:
        service = await _webhooks(options, stack)
        waiting = [_Component(name, options) for name in options.components]
        async with asyncio.TaskGroup() as group:
            if service is not None:
                keeping = group.create_task(service.keep(), name="webhooks")
                stack.callback(keeping.cancel)
            tasks = [group.create_task(component.run(stop), name=component.name) for component in waiting]
            announcing = group.create_task(_announce(waiting, ready))
            await stop.wait()
            for component in waiting:
                component.stop()
            announcing.cancel()
            await asyncio.wait(tasks)
            if service is not None:
                keeping.cancel()


async def _webhooks(options: HubOptions, stack: contextlib.AsyncExitStack) -> WebhookService | None:
    if options.webhook_bind is None:
        return None
    host, port = split_address(options.webhook_bind)
    url = (options.webhook_url or f"https://{options.webhook_bind}").rstrip("/")
    client = await stack.enter_async_context(
        Client(options.config("webhook"), user_agent="merope-webhook", qps=_QPS, burst=_BURST)
    )
    handlers = {**registration_admission.HANDLERS, **work_admission.HANDLERS}
    reached = urlsplit(url).hostname or host
    server = WebhookServer(handlers, ClusterHub(client), host=host, port=port, hosts=[reached])

    def configurations(bundle: str) -> list[dict[str, Any]]:
        return [
            *registration_admission.webhook_configurations(url, bundle),
            *work_admission.webhook_configurations(url, bundle),
        ]

    service = WebhookService(client, options.namespace, server, configurations)
    await service.prepare()
    _logger.info("webhooks are served at %s", url)
    return service


class _Component:
    """One component with its manager; started again where it loses its lock."""

    def __init__(self, name: str, options: HubOptions) -> None:
        self.name = name
        self._options = options
        self._identity = options.identity or default_identity()
        self._manager: Manager | None = None
        self._synced = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._session(stop)
            except LeadershipLost as lost:
                _logger.warning("%s: %s; competing for it again", self.name, lost)

    def stop(self) -> None:
        if self._manager is not None:
            self._manager.stop()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    async def _session(self, stop: asyncio.Event) -> None:
        options = self._options
        config = options.config(self.name)
        async with Client(config, user_agent=f"merope-{self.name}", qps=_QPS, burst=_BURST) as client:
            leader = None
            if options.leader_times is not None:
                leader = LeaderElector(
                    client,
                    LOCKS[self.name],
                    options.namespace,
                    identity=self._identity,
                    times=options.leader_times,
                )
            health = options.health if self.name == options.components[0] else None
            manager = Manager(client, health=health, leader=leader)
            self._setup(manager)
            self._manager = manager
            noting = asyncio.create_task(self._note_synced(manager))
            try:
                if not stop.is_set():
                    await manager.run()
            finally:
                noting.cancel()

    def _setup(self, manager: Manager) -> None:
        if self.name == "registration":
            registration_hub.setup(manager, options=self._options.registration)
        elif self.name == "placement":
            placement_hub.setup(manager)
        else:
            work_hub.setup(manager)

    async def _note_synced(self, manager: Manager) -> None:
        await asyncio.sleep(0)
        await manager.wait_synced()
        self._synced.set()


async def _announce(components: Sequence[_Component], ready: Callable[[], None]) -> None:
    for component in components:
        await component.wait_synced()
    ready()


def split_address(address: str) -> tuple[str, int]:
    """HOST:PORT taken apart. Raises ConfigError for anything else."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ConfigError(f"{address!r} is no address: HOST:PORT is needed")
    return host.strip("[]"), int(port)
