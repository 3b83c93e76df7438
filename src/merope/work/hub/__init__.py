"""Work on the hub: what happens to works once they are complete.

Works are applied, reported on and cleaned up by the agents of their clusters; the hub only serves them. ``setup`` adds
the controllers to a manager.
"""

from __future__ import annotations

from dataclasses import dataclass

from merope.kube import Manager
from merope.work.hub import garbage_collector

__all__ = ["WorkHubOptions", "setup"]


@dataclass(frozen=True)
class WorkHubOptions:
    """What the hub does with works.

    ``clean_up_completed``: delete works ``ttlSecondsAfterFinished`` seconds after they are complete (the feature gate
    CleanUpCompletedManifestWork, off by default).
    """

    clean_up_completed: bool = False


def setup(manager: Manager, *, options: WorkHubOptions | None = None) -> None:
    """Adds informers and controllers to the manager, whose client is the hub's."""
    options = options or WorkHubOptions()
    if options.clean_up_completed:
        garbage_collector.add(manager)
