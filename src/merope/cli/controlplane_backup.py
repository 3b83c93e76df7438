"""``merope controlplane backup`` and ``merope controlplane restore``."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from merope.controlplane.backup import BackupError, back_up, restore
from merope.fleet.layout import FleetError


def backup(state: Path, output: Path, servers: Sequence[str]) -> None:
    """Write an archive and say what is in it. Raises FleetError."""
    try:
        saved = back_up(state, output, servers)
    except BackupError as error:
        raise FleetError(str(error)) from error
    for server in saved:
        print(f"{server.name}: {server.objects} objects, versions up to {server.version}")
        if server.unreadable:
            print(
                f"warning: {server.name}: {len(server.unreadable)} objects fail their checksum and will be set aside "
                f"where they are restored: {', '.join(server.unreadable[:10])}",
                file=sys.stderr,
            )
    print(f"{output} holds private keys and Secrets: keep it where only administrators can read it")


def restore_archive(state: Path, archive: Path, *, force: bool) -> None:
    """Restore an archive and say what was restored. Raises FleetError."""
    try:
        restored = restore(state, archive, force=force)
    except (BackupError, sqlite3.Error) as error:
        raise FleetError(str(error)) from error
    for server in restored:
        print(f"{server.name}: {server.objects} objects, versions go on above {server.version}")
