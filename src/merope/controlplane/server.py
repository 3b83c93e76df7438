"""One logical API server: the place where its parts meet.

Everything that a part needs of another it asks of the server it belongs to. The server has no behaviour of its own
beyond the order in which its parts start and stop; several servers share a process, a catalogue and nothing else.
"""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

from merope.controlplane import bootstrap
from merope.controlplane.apiservices import APIServices
from merope.controlplane.authn import Authenticator
from merope.controlplane.authz import Authorizer
from merope.controlplane.discovery import Discovery
from merope.controlplane.http.filters import Filters
from merope.controlplane.http.health import Check
from merope.controlplane.http.message import HttpRequest, HttpResponse
from merope.controlplane.http.metrics import Metrics
from merope.controlplane.local import LocalClient
from merope.controlplane.openapi import OpenAPI
from merope.controlplane.pki import Pki
from merope.controlplane.registry import Registry
from merope.controlplane.registry.views import Views
from merope.controlplane.resource import APISERVER, GroupVersionKind, Request, Resource, UserInfo
from merope.controlplane.scheme import catalogue as scheme
from merope.controlplane.scheme.catalogue import Catalogue
from merope.controlplane.store import Store
from merope.controlplane.tokens import ServiceAccountTokens

_logger = logging.getLogger(__name__)

#: The minor version of Kubernetes whose API this server offers.
MINOR: Final = 36


class Controller(Protocol):
    """Something that runs beside the API as long as the server does."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Server:
    """One logical API server.

    ``url`` is where clients reach it. ``static_tokens`` are bearer tokens that exist as long as
    the process. ``clock`` gives seconds since the epoch.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        pki: Pki,
        *,
        static_tokens: Mapping[str, UserInfo] | None = None,
        clock: Callable[[], float] = time.time,
        catalogue: Catalogue | None = None,
    ) -> None:
        from merope.controlplane.admission import AdmissionChain
        from merope.controlplane.controllers import controllers
        from merope.controlplane.crd import CustomResources

        self.name = name
        self.url = "https://127.0.0.1:6443"
        self.store = store
        self.pki = pki
        self.clock = clock
        self.catalogue = catalogue or scheme.load()
        self.metrics = Metrics()
        self.views = Views()
        self.tokens = ServiceAccountTokens(store, pki.service_account_keys)
        self.authn = Authenticator(store, self.tokens, pki.ca_pem, static_tokens)
        self.authz = Authorizer(store)
        #: Grows whenever the set of served resources changes.
        self.resources_generation = 0
        self._followers: list[Callable[[], None]] = []
        self._controllers: list[Controller] = []
        self._checks: dict[str, Check] = {"ping": lambda: "", "etcd": lambda: self.store.failure}
        self.custom = CustomResources(self)
        self.registry = Registry(self)
        self.admission = AdmissionChain(self)
        self.discovery = Discovery(self)
        self.openapi = OpenAPI(self)
        #: Whether everything has started and nothing has begun to stop.
        self.ready = False
        self._started = False
        self._filters = Filters(self)
        self._builtin_groups = frozenset(group for group, _, _ in self.catalogue.resources)
        self._controllers += [APIServices(self), *controllers(self)]
        self._running: list[Controller] = []
        self._second = (0, "")

    # --- what it serves ------------------------------------------------------------------------------------------

    def lookup(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource at a path."""
        return self.catalogue.resources.get((group, version, plural)) or self.custom.lookup(group, version, plural)

    def all_resources(self) -> list[Resource]:
        """Every resource served now, built-in ones first."""
        return [*self.catalogue.resources.values(), *self.custom.resources()]

    def by_kind(self, gvk: GroupVersionKind) -> Resource | None:
        """The resource whose objects are of a kind."""
        found = self.catalogue.by_kind(gvk)
        if found is not None:
            return found
        return next((resource for resource in self.custom.resources() if resource.gvk == gvk), None)

    def catalogue_has_group(self, group: str) -> bool:
        """Whether built-in kinds are in an API group."""
        return group in self._builtin_groups

    def resources_changed(self) -> None:
        """Tell that the set of served resources has changed."""
        self.resources_generation += 1
        for callback in self._followers:
            callback()

    def follow_resources(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called whenever the set of served resources has changed; it must not block."""
        self._followers.append(callback)

    @property
    def version(self) -> Mapping[str, str]:
        """What /version answers."""
        from merope import __version__

        return {
            "major": "1",
            "minor": str(MINOR),
            "emulationMajor": "1",
            "emulationMinor": str(MINOR),
            "minCompatibilityMajor": "1",
            "minCompatibilityMinor": str(MINOR - 1),
            "gitVersion": f"v1.{MINOR}.0+merope",
            "gitCommit": __version__,
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": f"python{platform.python_version()}",
            "compiler": platform.python_implementation(),
            "platform": f"{platform.system().lower()}/{platform.machine()}",
        }

    # --- requests ------------------------------------------------------------------------------------------------

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request, whatever carried it."""
        return await self._filters.handle(request)

    async def authorize_create(self, request: Request) -> None:
        """Demand the permission to create the object of a PUT; 403. The server's own requests need none."""
        if not request.trusted:
            self._filters.authorize_create(request)

    def local(self, user: UserInfo = APISERVER, manager: str = "") -> LocalClient:
        """A client for the server's own parts, acting as ``user``; ``manager`` is its field manager."""
        return LocalClient(self, user, manager or user.username.rpartition(":")[2] or "merope")

    def now(self) -> str:
        """The time as metadata has it: RFC 3339, UTC, whole seconds."""
        second = int(self.clock())
        if second != self._second[0]:
            text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            self._second = (second, text)
        return self._second[1]

    # --- health --------------------------------------------------------------------------------------------------

    def checks(self, endpoint: str) -> Mapping[str, Check]:
        """The checks behind ``healthz``, ``livez`` or ``readyz``."""
        if endpoint == "livez":
            return {name: check for name, check in self._checks.items() if name != "etcd"}
        found = dict(self._checks)
        found["poststarthook/bootstrap"] = lambda: "" if self._started else "not finished"
        if endpoint == "readyz":
            found["shutdown"] = lambda: "" if self.ready or not self._started else "process is shutting down"
        return found

    def add_check(self, name: str, check: Check) -> None:
        """Let a part take part in /healthz, /livez and /readyz."""
        self._checks[name] = check

    def render_metrics(self) -> bytes:
        """The exposition of /metrics."""
        objects = {str(storage): self.store.count(storage) for storage in self.store.storages()}
        return self.metrics.render(objects, self.store.statistics())

    # --- life ----------------------------------------------------------------------------------------------------

    def add_controller(self, controller: Controller) -> None:
        """Let something run beside the API; before ``start``."""
        self._controllers.append(controller)

    async def start(self) -> None:
        """Open the store and start every part; the server is ready when this returns."""
        await self.store.open()
        try:
            self.authz.start()
            await self.custom.start()
            await bootstrap.ensure(self)
            for controller in self._controllers:
                await controller.start()
                self._running.append(controller)
        except BaseException:
            await self.stop()
            raise
        self._started = self.ready = True
        _logger.info("server %s is ready", self.name)

    async def stop(self) -> None:
        """Stop every part and close the store. Idempotent."""
        self.ready = False
        while self._running:
            await self._running.pop().stop()
        self.store.end_watches(None, "shutdown")
        await self.custom.stop()
        self.authz.stop()
        await self.store.close()
