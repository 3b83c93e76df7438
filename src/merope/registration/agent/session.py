"""A session of a registration agent: its identity, its two phases, and what ends it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from merope.api.about.v1alpha1 import ClusterProperty
from merope.api.cluster.v1 import ManagedCluster
from merope.api.cluster.v1alpha1 import ClusterClaim
from merope.kube import (
    CORE,
    Client,
    ClientConfig,
    ConfigError,
    EventRecorder,
    Forbidden,
    Informer,
    KubeConfig,
    KubeError,
    Manager,
    Manifest,
    NotFound,
    StatusWriter,
    ref_of,
    set_condition,
)
from merope.kube.cache import Change
from merope.registration.agent import managed_namespaces
from merope.registration.agent.cluster_creation import ClusterCreation, client_configs
from merope.registration.agent.credential import SECRET, CredentialKeeper, Place, secret_data
from merope.registration.agent.csr import CsrDriver
from merope.registration.agent.directory import HubDirectory
from merope.registration.agent.driver import Condition, Driver
from merope.registration.agent.identity import Identity, choose_identity, hub_hash
from merope.registration.agent.lease import LeaseKeeper
from merope.registration.agent.options import RegistrationAgentOptions
from merope.registration.agent.reporting import Reporter, explain, is_refused
from merope.registration.agent.resources import node_resources
from merope.registration.agent.status import REPORTING_CONTROLLER, ClusterStatus, claim_pair, claims_from
from merope.sdk.credentials import AGENT_NAME, CLUSTER_NAME, KUBECONFIG

_log = logging.getLogger(__name__)

_LOOK: Final = 10.0  # seconds between two looks at files and at what the hub said of the credential
_PATIENT: Final = 60  # questions for admission that are asked fast: ten minutes
_REFUSALS: Final = 3  # looks in a row at which the hub must refuse a credential that seems valid


@dataclass(frozen=True)
class End:
    """Why a session is over. ``refused``: the hub doesn't take the stored credential, whatever it looks like."""

    reason: str
    refused: bool = False


class Session:
    """What the phases of a session share. Made anew for each session.

    ``spoke`` is the client of the managed cluster. ``begin`` reads what is stored; afterwards ``identity``,
    ``bootstrap`` and ``directory`` are there. ``finish`` ends the session, ``ended`` waits for that.
    """

    def __init__(
        self, spoke: Client, options: RegistrationAgentOptions, reporter: Reporter, *, distrust: bool = False
    ) -> None:
        """With ``distrust`` the stored credential isn't used: the hub refused it."""
        self.spoke = spoke
        self.options = options
        self.reporter = reporter
        self.directory = HubDirectory(options.hub_kubeconfig_dir)
        self.identity = Identity("", "")
        self.bootstrap: KubeConfig | None = None
        self.end: End | None = None
        self.bootstrapped = False
        """Whether the credential has been valid at some time in this session."""
        self.distrust = distrust
        self._over = asyncio.Event()
        self._bootstrap_digest = b""
        self._bootstrap_secret: dict[str, bytes] | None = None
        self._refusal: KubeError | None = None

    async def begin(self) -> None:
        """Reads Secret, names and bootstrap kubeconfig. Raises KubeError where one of them can't be had."""
        options = self.options
        self.directory.prepare()
        try:
            stored = secret_data(await self.place.read())
        except ConfigError:
            raise
        except KubeError as error:
            secret = f"{options.namespace}/{options.hub_secret}"
            raise KubeError(
                f"the managed cluster {self.spoke.config.server} doesn't let us read Secret {secret} ({error}). "
                "Is it running, and does the spoke kubeconfig's identity have the klusterlet's roles?"
            ) from error
        if stored:
            self.directory.dump(stored)
        self.identity = choose_identity(options.cluster_name, options.agent_id, *self.directory.stored_names())
        # Kept before anything is asked in these names: whoever restarts meanwhile asks for the same cluster again.
        self.directory.dump(
            {CLUSTER_NAME: self.identity.cluster_name.encode(), AGENT_NAME: self.identity.agent_id.encode()}
        )
        if options.bootstrap_kubeconfig is not None:
            self._bootstrap_digest = _digest(options.bootstrap_kubeconfig)
            self.bootstrap = KubeConfig.read([options.bootstrap_kubeconfig], must_exist=True)
        self.bootstrapped = self.problem() is None

    @property
    def place(self) -> Place:
        """Where the hub credential is kept."""
        return Place(self.spoke, self.options.namespace, self.options.hub_secret, self.directory)

    @property
    def hub_hash(self) -> str:
        """The hash of the hub's URL. Raises ConfigError where no kubeconfig names a hub."""
        config = self.bootstrap or KubeConfig.read([self.directory.kubeconfig], must_exist=True)
        return hub_hash(config)

    def problem(self) -> str | None:
        """What keeps the stored credential from being used; None where nothing does."""
        if self.distrust:
            return "the hub refuses the stored client certificate"
        problem = self.directory.problem(self.bootstrap, self.identity, self.options.clock())
        if problem is not None and self.bootstrap is None:
            raise ConfigError(f"{problem}, and no bootstrap kubeconfig was given to ask for one")
        return problem

    # --- how it ends -----------------------------------------------------------------------------------------------

    def finish(self, end: End) -> None:
        """Ends the session; the first reason counts."""
        if self.end is None:
            self.end = end
        self._over.set()

    def next_phase(self) -> None:
        """A phase begins: ``ended`` waits for its end, or the session's."""
        if self.end is None:
            self._over.clear()

    async def ended(self) -> None:
        """Returns when the session, or the bootstrap phase, is over."""
        await self._over.wait()

    def stored(self, written: bool) -> None:
        """The files have changed; with ``written`` a new credential came. Ends the bootstrap phase if it is valid."""
        if written:
            self.distrust = False
        if self.problem() is None:
            self.bootstrapped = True
            self.proceed()

    def proceed(self) -> None:
        """Ends the phase, not the session."""
        self._over.set()

    def refused(self, error: KubeError) -> None:
        """The hub refused the hub credential in a request."""
        self._refusal = error

    async def watch_over(self, hub: Client | None, clusters: Informer[ManagedCluster] | None) -> None:
        """Ends the session when it has to end; looks every ten seconds. ``hub`` None: in the bootstrap phase."""
        refusals = 0
        while True:
            await asyncio.sleep(_LOOK)
            path = self.options.bootstrap_kubeconfig
            if path is not None and (digest := _digest(path)) != self._bootstrap_digest and digest:
                self.finish(End(f"the bootstrap kubeconfig {path} has changed"))
            if hub is None:
                continue
            problem = self.directory.certificate_problem(self.identity, self.options.clock())
            if problem is not None:
                self.finish(End(problem))
            suspect = self._refusal or (clusters.error if clusters is not None else None)
            self._refusal = None
            refusals = refusals + 1 if is_refused(suspect) and await self._is_refused(hub) else 0
            if refusals >= _REFUSALS:
                self.finish(End(f"the hub {hub.config.server} refuses the stored client certificate", refused=True))

    async def _is_refused(self, hub: Client) -> bool:
        try:
            await hub.fetch(ManagedCluster, self.identity.cluster_name)
        except KubeError as error:
            if is_refused(error):
                self._refusal = error
                return True
        return False

    def follow_bootstrap_secret(self, manager: Manager) -> None:
        """Ends the session when the content of the bootstrap Secret changes, or when it is deleted."""
        secrets = manager.informer(
            SECRET,
            client=self.spoke,
            namespace=self.options.namespace,
            field_selector=f"metadata.name={self.options.bootstrap_secret}",
        )

        def changed(change: Change[Manifest]) -> None:
            content = None if change.new is None else secret_data(change.new.value)
            if self._bootstrap_secret is not None and content != self._bootstrap_secret:
                name = f"{self.options.namespace}/{self.options.bootstrap_secret}"
                self.finish(End(f"the bootstrap Secret {name} has changed"))
            self._bootstrap_secret = content

        secrets.add_handler(changed)

    def keeper(
        self,
        driver: Driver,
        *,
        hub: str,
        credential: str,
        stored: Callable[[bool], None] = lambda written: None,
        report: Any = None,
        refused: Callable[[KubeError], None] = lambda error: None,
    ) -> CredentialKeeper:
        """What keeps the Secret valid with this driver."""
        template = self.bootstrap or KubeConfig.read([self.directory.kubeconfig], must_exist=True)
        additional = {
            CLUSTER_NAME: self.identity.cluster_name.encode(),
            AGENT_NAME: self.identity.agent_id.encode(),
            KUBECONFIG: driver.kubeconfig(template),
        }
        return CredentialKeeper(
            self.place,
            driver,
            additional,
            hub=hub,
            credential=credential,
            reporter=self.reporter,
            stored=stored,
            report=report,
            refused=refused,
        )

    def secrets(self, manager: Manager) -> Informer[Manifest]:
        """The informer of the hub credential's Secret."""
        return manager.informer(
            SECRET,
            client=self.spoke,
            namespace=self.options.namespace,
            field_selector=f"metadata.name={self.options.hub_secret}",
        )


def setup_bootstrap(manager: Manager, session: Session) -> None:
    """The bootstrap phase, on a manager whose client has the bootstrap identity. It ends the wait for the session's
    end once a valid credential is stored, without an ``End``.
    """
    options, hub, identity = session.options, manager.client, session.identity
    assert options.bootstrap_kubeconfig is not None
    credential = f"the bootstrap kubeconfig {options.bootstrap_kubeconfig}"
    driver = _driver(session, hub, renew=session.distrust)
    keeper = session.keeper(driver, hub=hub.config.server, credential=credential, stored=session.stored)
    controller = keeper.controller(f"BootstrapController@cluster:{identity.cluster_name}", session.secrets(manager))
    driver.on_change(lambda: controller.add(options.hub_secret))
    creation = ClusterCreation(
        hub,
        identity.cluster_name,
        annotations=options.cluster_annotations,
        client_configs=client_configs(
            options.external_server_urls, _ca_bundle(session.spoke.config) if options.external_server_urls else None
        ),
        decorate=driver.decorate,
        credential=credential,
        reporter=session.reporter,
    )
    manager.add(creation.controller())
    manager.add(controller)
    manager.add_service("signing requests", driver.run)
    manager.add_service("session", lambda: session.watch_over(None, None))
    session.follow_bootstrap_secret(manager)


def setup_admission(manager: Manager, session: Session) -> None:
    """Between the two phases, on a manager whose client has the cluster's own identity: a certificate may come
    before the hub accepts the cluster, and with it every permission. Ends the wait for the session's end, without an
    ``End``, once the cluster may read its ManagedCluster. Nothing can be watched until then, so the hub is asked.
    """
    manager.add_service("admission", lambda: _await_admission(manager.client, session))
    manager.add_service("session", lambda: session.watch_over(manager.client, None))
    session.follow_bootstrap_secret(manager)


async def _await_admission(hub: Client, session: Session) -> None:
    name = session.identity.cluster_name
    tries = 0
    while True:
        try:
            await hub.fetch(ManagedCluster, name)
        except Forbidden:
            text = f"cluster {name} waits to be accepted on the hub {hub.config.server}: merope accept {name}"
            session.reporter.problem("acceptance", text, level=logging.INFO)
        except NotFound:
            break  # the steady phase tells what is missing
        except KubeError as error:
            if is_refused(error):
                session.refused(error)
            text = explain(error, hub.config.server, "the hub kubeconfig", f"looking for ManagedCluster {name}")
            session.reporter.problem("admission", text)
        else:
            break
        await asyncio.sleep(_admission_pause(tries))
        tries += 1
    session.reporter.solved("admission")
    session.proceed()


def _admission_pause(tries: int) -> float:
    """Seconds: people who accept clusters one after the other needn't wait; who comes back tomorrow costs little."""
    return min(1.5**tries, 10.0) if tries < _PATIENT else 60.0


def setup(manager: Manager, session: Session) -> None:
    """The steady phase, on a manager whose client has the cluster's own identity."""
    hub, name = manager.client, session.identity.cluster_name
    clusters = manager.informer(ManagedCluster, field_selector=f"metadata.name={name}")
    status = StatusWriter(hub, ManagedCluster)
    _keep_credential(manager, session, clusters, status)
    lease = LeaseKeeper(hub, name, clusters, session.reporter, refused=session.refused)
    manager.add_service("lease", lease.run)
    _report_status(manager, session, clusters, status)
    manager.add_service("session", lambda: session.watch_over(hub, clusters))
    session.follow_bootstrap_secret(manager)
    _log.info("agent %s of cluster %s works with hub %s", session.identity.agent_id, name, hub.config.server)


def _keep_credential(
    manager: Manager, session: Session, clusters: Informer[ManagedCluster], status: StatusWriter[ManagedCluster]
) -> None:
    name = session.identity.cluster_name
    driver = _driver(session, manager.client)

    async def report(condition: Condition) -> None:
        cluster = clusters.get(name)
        if cluster is None:
            return

        def rotated(raw: Manifest) -> None:
            conditions = raw.setdefault("status", {}).setdefault("conditions", [])
            set_condition(conditions, condition.type, condition.status, condition.reason, condition.message)

        await status.write(cluster, rotated)

    keeper = session.keeper(
        driver,
        hub=manager.client.config.server,
        credential="the hub kubeconfig",
        report=report,
        refused=session.refused,
    )
    controller = keeper.controller(f"RegisterController@cluster:{name}", session.secrets(manager))
    driver.on_change(lambda: controller.add(session.options.hub_secret))
    manager.add(controller)
    manager.add_service("signing requests", driver.run)


def _report_status(
    manager: Manager, session: Session, clusters: Informer[ManagedCluster], status: StatusWriter[ManagedCluster]
) -> None:
    options, spoke, name = session.options, session.spoke, session.identity.cluster_name
    label = managed_namespaces.label_of(session.hub_hash)
    nodes = manager.informer(CORE["Node"], client=spoke, projection=node_resources)
    namespaces = manager.informer(CORE["Namespace"], client=spoke, label_selector=f"{label}=true")
    claims = properties = None
    sources: list[Informer[Any]] = [namespaces]
    if options.cluster_claims:
        claims = manager.informer(ref_of(ClusterClaim), client=spoke, projection=claim_pair)
        sources.append(claims)
    if options.cluster_properties:
        properties = manager.informer(ref_of(ClusterProperty), client=spoke, projection=claim_pair)
        sources.append(properties)
    events = EventRecorder(manager.client, REPORTING_CONTROLLER, default_namespace=name)
    manager.add_service(f"events of {REPORTING_CONTROLLER}", events.run)
    reporter = ClusterStatus(
        spoke,
        name,
        clusters,
        nodes,
        claims_from(
            claims,
            properties,
            limit=options.max_custom_cluster_claims,
            reserved_suffixes=tuple(options.reserved_cluster_claim_suffixes),
        ),
        managed_namespaces.ManagedNamespaces(spoke, label, namespaces),
        status,
        events,
        session.reporter,
        clock=time.monotonic,
    )
    manager.add(reporter.controller(options.health_check_period, *sources))


def _driver(session: Session, hub: Client, *, renew: bool = False) -> Driver:
    return CsrDriver(
        hub,
        session.identity,
        session.directory,
        reporter=session.reporter,
        clock=session.options.clock,
        expiration_seconds=session.options.client_cert_expiration_seconds,
        renew=renew,
    )


def _ca_bundle(config: ClientConfig) -> bytes | None:
    if config.ca_data is not None:
        return config.ca_data
    try:
        return Path(config.ca_file).read_bytes() if config.ca_file else None
    except OSError as error:
        raise ConfigError(f"CA of the managed cluster, {config.ca_file}: {error.strerror}") from error


def _digest(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""
