"""Work on the managed cluster: works of the cluster's namespace on the hub are applied, reported on and cleaned up.

``setup`` adds the controllers to a manager. What comes in are ManifestWorks (from the hub, one watch); what goes out
are the objects of their manifests and AppliedManifestWorks (on the cluster), and the works' status and finalizer (on
the hub).

The modules: ``works`` applies works and looks after what they applied; ``applier`` applies one manifest,
``executor`` asks whether it may be; ``watches`` notices drift; ``observer`` looks at objects; ``inventory`` deletes
them; ``deletion`` and ``eviction`` end works.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from merope.api.work.v1 import AppliedManifestWork, ManifestWork
from merope.kube import Client, Manager, StatusWriter
from merope.work.agent.applier import FIELD_MANAGER, Applier
from merope.work.agent.deletion import AddFinalizer, AppliedWorkFinalizer, WorkFinalizer
from merope.work.agent.eviction import Eviction
from merope.work.agent.executor import Executors
from merope.work.agent.inventory import Inventory
from merope.work.agent.observer import Observer
from merope.work.agent.works import WorkController
from merope.work.applied import hub_hash
from merope.work.feedback import FeedbackLimits

__all__ = ["FIELD_MANAGER", "WorkAgentOptions", "hub_hash", "setup"]


@dataclass(frozen=True)
class WorkAgentOptions:
    """How a work agent runs.

    ``status_sync_interval``: seconds between two looks at applied objects that nothing is heard of (up to 1.9 times
    that). ``eviction_grace_period``: seconds that what was applied outlives a work that vanished from the hub.
    ``workers``: works that are served at a time. ``watch_limit``: watches of applied objects at most; what isn't
    watched is looked at now and then. ``feedback``: limits of what is reported.
    """

    status_sync_interval: float = 10.0
    eviction_grace_period: float = 3600.0
    workers: int = 10
    watch_limit: int = 50
    feedback: FeedbackLimits = field(default_factory=FeedbackLimits)

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workload-agent-workers must be >= 1, got {self.workers}")


def setup(
    manager: Manager,
    *,
    hub: Client,
    spoke: Client,
    cluster_name: str,
    agent_id: str,
    hub_hash: str,
    options: WorkAgentOptions | None = None,
) -> None:
    """Adds informers and controllers to the manager.

    ``hub`` is the hub as the cluster's agent, ``spoke`` the managed cluster as the work agent's service account; both
    should write as field manager ``work-agent`` (``FIELD_MANAGER``). ``hub_hash`` tells hubs apart (``hub_hash()`` of
    the address in the hub's kubeconfig); an empty ``agent_id`` is the hub's hash.
    """
    options = options or WorkAgentOptions()
    agent_id = agent_id or hub_hash
    works = manager.informer(ManifestWork, client=hub, namespace=cluster_name)
    applied_works = manager.informer(AppliedManifestWork, client=spoke)
    status = StatusWriter(hub, ManifestWork)
    applier = Applier(spoke)
    inventory = Inventory(spoke, applier)
    work = WorkController(
        spoke=spoke,
        cluster_name=cluster_name,
        works=works,
        applied_works=applied_works,
        hub_hash=hub_hash,
        agent_id=agent_id,
        status=status,
        applier=applier,
        inventory=inventory,
        observer=Observer(spoke, options.feedback),
        executors=Executors(spoke),
        status_sync_interval=options.status_sync_interval,
        watch_limit=options.watch_limit,
        workers=options.workers,
    )
    ending = WorkFinalizer(
        hub=hub,
        spoke=spoke,
        cluster_name=cluster_name,
        works=works,
        applied_works=applied_works,
        hub_hash=hub_hash,
        status=status,
        workers=options.workers,
    )
    cleanup = AppliedWorkFinalizer(
        spoke=spoke, applied_works=applied_works, inventory=inventory, agent_id=agent_id, workers=options.workers
    )
    eviction = Eviction(
        spoke=spoke,
        cluster_name=cluster_name,
        works=works,
        applied_works=applied_works,
        hub_hash=hub_hash,
        agent_id=agent_id,
        grace=options.eviction_grace_period,
    )
    for controller in (
        AddFinalizer(hub, works).controller,
        work.applying,
        work.looking,
        ending.controller,
        cleanup.controller,
        eviction.controller,
    ):
        manager.add(controller)
    manager.add_service("watches of applied objects", work.watches.run, leader=True)
