"""The placement controller: watches the hub, schedules what a change affects, writes what differs."""

from __future__ import annotations

from merope.kube import Manager


def setup(manager: Manager) -> None:
    """Add the placement controller to a manager whose client may do what the reference's placement role allows."""
    # The columns need numpy, which is no small thing to load: hubs that run without placement do without it.
    from merope.placement.hub.scheduling import SchedulingController

    SchedulingController(manager).register()
