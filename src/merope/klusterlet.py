"""The klusterlet: registration agent and work agent of one managed cluster, in one process.

The process is a loop of sessions (see ``merope.registration.agent``). In a session's steady phase both agents share
one client to the hub, with the cluster's certificate and at most three connections, and one manager. Where the
reference's agents exit and count on being started again (another hub, an expired certificate, a lost lock), the
session ends here and the next begins, with a pause if sessions follow one another too fast.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from merope.kube import (
    Client,
    ClientConfig,
    ConfigError,
    KubeError,
    LeaderElector,
    LeadershipLost,
    LeaderTimes,
    Manager,
    Metrics,
)
from merope.kube.health import Health
from merope.registration import agent as registration
from merope.registration.agent import End, RegistrationAgentOptions, Session
from merope.registration.agent.reporting import Reporter
from merope.work import agent as work
from merope.work.agent import WorkAgentOptions

_log = logging.getLogger(__name__)

LOCK: Final = "klusterlet-agent-lock"
_USER_AGENT: Final = "merope-klusterlet"
#: Connections to the hub: one for requests, one for the ManagedCluster's watch, one for the works'.
_HUB_CONNECTIONS: Final = 3
_GRACE: Final = 5.0  # seconds for reconciles under way when a phase ends
_SETTLED: Final = 60.0  # a session that lasted as long owes no pause to the next
_LONGEST_PAUSE: Final = 60.0


@dataclass(frozen=True)
class KlusterletOptions:
    """How a klusterlet runs.

    ``spoke`` says how to reach the managed cluster, ``work_spoke`` how the work agent does (default: the same).
    ``health`` is HOST:PORT of the health endpoints (None: none). ``leader_times`` None runs without an election,
    for klusterlets that have no other replica; ``identity`` is the holder of the lock. ``hub_qps`` and ``hub_burst``
    limit requests to the hub.
    """

    registration: RegistrationAgentOptions
    spoke: ClientConfig
    work_spoke: ClientConfig | None = None
    work: WorkAgentOptions = field(default_factory=WorkAgentOptions)
    health: str | None = None
    leader_times: LeaderTimes | None = None
    identity: str | None = None
    hub_qps: float = 50.0
    hub_burst: float = 100.0
    spoke_qps: float = 50.0
    spoke_burst: float = 100.0


async def run(options: KlusterletOptions, *, stop: asyncio.Event, ready: Callable[[], None] = lambda: None) -> None:
    """Runs until ``stop`` is set. ``ready`` is called once when the first session has begun: names are known, and
    the agent either asks to join or works.

    Raises ConfigError (or another KubeError) where the first session can't begin, and OSError for a taken port.
    """
    options.registration.validate()
    await _Klusterlet(options, stop, ready).run()


class _Klusterlet:
    def __init__(self, options: KlusterletOptions, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        self._options = options
        self._stop = stop
        self._ready = ready
        self._begun = False
        self._metrics = Metrics()
        self._health = Health(self._metrics)
        self._reporter = Reporter(_log)
        self._session: Session | None = None
        self._manager: Manager | None = None
        self._health.live["hub-kube-config"] = self._credential_problem
        self._health.ready["session"] = self._unready

    async def run(self) -> None:
        options = self._options
        work_spoke = options.work_spoke or options.spoke
        async with (
            self._health.serve(options.health),
            self._spoke(options.spoke, registration.FIELD_MANAGER) as spoke,
            self._spoke(work_spoke, work.FIELD_MANAGER) as for_work,
        ):
            await self._sessions(spoke, for_work)

    def _spoke(self, config: ClientConfig, field_manager: str) -> Client:
        options = self._options
        return Client(
            config,
            user_agent=_USER_AGENT,
            field_manager=field_manager,
            qps=options.spoke_qps,
            burst=options.spoke_burst,
        )

    async def _sessions(self, spoke: Client, work_spoke: Client) -> None:
        """One session after the other, each as the leader if there is an election."""
        distrust = False
        quick = 0
        while not self._stop.is_set():
            started = time.monotonic()
            end = await self._led_session(spoke, work_spoke, distrust)
            if self._stop.is_set():
                return
            distrust = end.refused
            _log.info("session over: %s", end.reason)
            quick = 0 if time.monotonic() - started > _SETTLED else quick + 1
            await self._pause(0.0 if quick <= 1 else min(_LONGEST_PAUSE, 2.0 ** (quick - 1)))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            pass

    async def _led_session(self, spoke: Client, work_spoke: Client, distrust: bool) -> End:
        options = self._options
        if options.leader_times is None:
            return await self._guarded_session(spoke, work_spoke, distrust)
        elector = LeaderElector(
            spoke, LOCK, options.registration.namespace, identity=options.identity, times=options.leader_times
        )
        ends: list[End] = []

        async def lead() -> None:
            ends.append(await self._guarded_session(spoke, work_spoke, distrust))

        election = asyncio.ensure_future(elector.run(lead))
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({election, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not election.done() and not elector.leading:
                election.cancel()
            await asyncio.wait({election})
            if not election.cancelled():
                election.result()
        except LeadershipLost as lost:
            return End(f"{lost}; competing for the lock again", refused=distrust)
        finally:
            for task in (election, stopping):
                task.cancel()
            await asyncio.gather(election, stopping, return_exceptions=True)
        return ends[0] if ends else End("stopped", refused=distrust)

    async def _guarded_session(self, spoke: Client, work_spoke: Client, distrust: bool) -> End:
        """A session whose failure to begin ends the process the first time, and is only reported later."""
        session = Session(spoke, self._options.registration, self._reporter, distrust=distrust)
        self._session = session
        try:
            return await self._run_session(session, work_spoke)
        except KubeError as error:
            if not self._begun and isinstance(error, ConfigError):
                raise
            self._reporter.problem("session", str(error))
            return End(str(error), refused=distrust)
        finally:
            self._session = self._manager = None

    async def _run_session(self, session: Session, work_spoke: Client) -> End:
        if not await self._unless_stopped(session.begin()):
            return End("stopped")
        if not self._begun:
            self._begun = True
            self._ready()
        problem = session.problem()
        if problem is not None:
            _log.info("cluster %s registers with the hub: %s", session.identity.cluster_name, problem)
            await self._bootstrap(session)
            if session.end is not None or self._stop.is_set():
                return session.end or End("stopped")
        return await self._work(session, work_spoke)

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Does something that may take long; False where the process is to end before it is done."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                return False
            working.result()
            return True
        finally:
            for task in (working, stopping):
                task.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)

    async def _bootstrap(self, session: Session) -> None:
        path = self._options.registration.bootstrap_kubeconfig
        assert path is not None
        async with self._hub(ClientConfig.load(path)) as hub:
            manager = Manager(hub, metrics=self._metrics, grace=_GRACE)
            registration.setup_bootstrap(manager, session)
            await self._phase(manager, session)

    async def _work(self, session: Session, work_spoke: Client) -> End:
        async with self._hub(ClientConfig.load(session.directory.kubeconfig)) as hub:
            manager = Manager(hub, metrics=self._metrics, grace=_GRACE)
            registration.setup_admission(manager, session)
            await self._phase(manager, session)
            if session.end is not None or self._stop.is_set():
                return session.end or End("stopped")
            manager = Manager(hub, metrics=self._metrics, grace=_GRACE)
            registration.setup(manager, session)
            work.setup(
                manager,
                hub=hub,
                spoke=work_spoke,
                cluster_name=session.identity.cluster_name,
                agent_id=session.identity.agent_id,
                hub_hash=session.hub_hash,
                options=self._options.work,
            )
            await self._phase(manager, session)
        return session.end or End("stopped")

    def _hub(self, config: ClientConfig) -> Client:
        options = self._options
        return Client(
            config,
            user_agent=_USER_AGENT,
            field_manager=work.FIELD_MANAGER,
            connections=_HUB_CONNECTIONS,
            qps=options.hub_qps,
            burst=options.hub_burst,
        )

    async def _phase(self, manager: Manager, session: Session) -> None:
        """Runs a manager until the session or the phase is over, or the process is to end."""
        self._manager = manager
        session.next_phase()
        running = asyncio.ensure_future(manager.run())
        ending = [asyncio.ensure_future(session.ended()), asyncio.ensure_future(self._stop.wait())]
        try:
            await asyncio.wait({running, *ending}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                # Without complete caches no controller is at work, and some still wait for theirs: nothing to finish.
                if manager.health.failures(manager.health.ready):
                    running.cancel()
                else:
                    manager.stop()
                await asyncio.wait({running})
            if not running.cancelled():
                running.result()
        finally:
            for task in (running, *ending):
                task.cancel()
            await asyncio.gather(running, *ending, return_exceptions=True)
            self._manager = None

    def _credential_problem(self) -> str | None:
        session = self._session
        if session is None or not session.bootstrapped:
            return None
        options = self._options.registration
        if session.directory.certificate_problem(session.identity, options.clock()) is None:
            return None
        return "the client certificate expires and rebootstrap is required."

    def _unready(self) -> str | None:
        manager = self._manager
        if manager is None:
            return "between two sessions"
        return "; ".join(manager.health.failures(manager.health.ready).values()) or None


if __name__ == "__main__":
    import sys
    from importlib import import_module

    sys.exit(import_module("merope.cli.agent").main())
