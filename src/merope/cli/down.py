"""``merope down``."""

from __future__ import annotations

from merope.fleet.layout import FleetError, Layout
from merope.fleet.takedown import take_down


def down(name: str, *, purge: bool) -> None:
    """Stop a fleet, and with ``purge`` forget it."""
    layout = Layout(name)
    if not layout.exists():
        if layout.root.exists() and purge:
            take_down(layout)
            layout.purge()
            print(f"Fleet {name!r} is removed.")
            return
        raise FleetError(f"there is no fleet {name!r} in {layout.home}")
    stopped = take_down(layout)
    if purge:
        layout.purge()
        print(f"Fleet {name!r} is {'stopped and ' if stopped else ''}removed.")
    else:
        print(f"Fleet {name!r} is stopped." if stopped else f"Fleet {name!r} was not running.")
