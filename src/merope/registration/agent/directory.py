"""The hub credential as files: where other parts of the process, and other processes, find it.

One file a key of the Secret, replaced as a whole, so that a reader sees the old content or the new one. The
directory outlives the process on a machine, and is a Pod's own in a cluster, where the Secret fills it again.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from merope.kube import ConfigError, KubeConfig
from merope.registration.agent.identity import Identity, names_identity
from merope.sdk.credentials import (
    AGENT_NAME,
    CERTIFICATE,
    CLUSTER_NAME,
    KEY,
    KUBECONFIG,
    CredentialError,
    certificates,
    current_cluster,
    hub_difference,
    lifetime,
    subject_of,
)

_FILES: Final = (KUBECONFIG, CERTIFICATE, KEY)
#: The key comes before its certificate: who finds a pair that doesn't match keeps the one it has.
_ORDER: Final = {KEY: 0, CERTIFICATE: 1, KUBECONFIG: 2}

_Stamp = tuple[tuple[int, int, int] | None, ...]


class HubDirectory:
    """The directory of the hub kubeconfig. Created with mode 0700; files have mode 0600."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._judged: tuple[tuple[_Stamp, Identity], str | None, datetime | None] | None = None

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the hub, with paths relative to the directory."""
        return self.path / KUBECONFIG

    def prepare(self) -> None:
        """Creates the directory. Raises ConfigError where that is impossible."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
        except OSError as error:
            raise ConfigError(f"--hub-kubeconfig-dir {self.path}: {error.strerror}") from error

    def dump(self, data: Mapping[str, bytes]) -> list[str]:
        """Writes the files whose content differs; their names. Others are left alone, also those not in ``data``."""
        written = []
        for name in sorted(data, key=lambda each: (_ORDER.get(each, 3), each)):
            if os.sep in name or name in (".", "..") or self.read(name) == data[name]:
                continue
            self._write(name, data[name])
            written.append(name)
        return written

    def _write(self, name: str, content: bytes) -> None:
        try:
            descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=self.path)  # mkstemp gives mode 0600
            try:
                with open(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, self.path / name)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
                raise
        except OSError as error:
            raise ConfigError(f"{self.path / name}: {error.strerror}") from error

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        try:
            return (self.path / name).read_bytes()
        except OSError:
            return None

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        with contextlib.suppress(OSError):
            (self.path / name).unlink(missing_ok=True)

    def stored_names(self) -> tuple[str, str]:
        """Cluster name and agent id that were stored; empty where none were."""
        cluster_name, agent_name = self.read(CLUSTER_NAME) or b"", self.read(AGENT_NAME) or b""
        return cluster_name.decode(errors="replace").strip(), agent_name.decode(errors="replace").strip()

    def problem(self, bootstrap: KubeConfig | None, identity: Identity, now: datetime) -> str | None:
        """What keeps the stored credential from being used; None where nothing does.

        With ``bootstrap``, the hub must be the one that it names. Raises ConfigError where it names none.
        """
        if bootstrap is not None:
            current_cluster(bootstrap)
            if not self.kubeconfig.exists():
                return "there is no hub kubeconfig yet"
            try:
                difference = hub_difference(bootstrap, KubeConfig.read([self.kubeconfig], must_exist=True))
            except ConfigError as error:
                return f"the stored hub kubeconfig can't be used: {error}"
            if difference is not None:
                return f"the bootstrap kubeconfig names another hub ({difference} differs)"
        return self.certificate_problem(identity, now)

    def certificate_problem(self, identity: Identity, now: datetime) -> str | None:
        """The part of ``problem`` that time brings. Cheap: files are read again only where they changed."""
        stamp = tuple(_stamp(self.path / name) for name in _FILES)
        judged = self._judged
        if judged is None or judged[0] != (stamp, identity):
            problem, ends = _judge(self.read(CERTIFICATE), self.read(KEY), identity)
            judged = self._judged = ((stamp, identity), problem, ends)
        _, problem, ends = judged
        if problem is None and ends is not None and now > ends:
            return f"the client certificate expired at {ends:%Y-%m-%dT%H:%M:%SZ}"
        return problem


def _judge(certificate: bytes | None, key: bytes | None, identity: Identity) -> tuple[str | None, datetime | None]:
    if not certificate or not key:
        return "there is no client certificate yet", None
    try:
        chain = certificates(certificate)
    except CredentialError as error:
        return str(error), None
    if not _is_ours(chain, identity):
        return f"the client certificate is not for agent {identity.agent_id} of cluster {identity.cluster_name}", None
    return None, lifetime(chain).ends


def _is_ours(chain: list[x509.Certificate], identity: Identity) -> bool:
    """The first certificate that is an agent's decides."""
    for each in chain:
        ours = names_identity(subject_of(each).common_name, identity)
        if ours is not None:
            return ours
    return False


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
