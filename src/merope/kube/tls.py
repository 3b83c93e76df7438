"""TLS contexts for talking to API servers.

Two things differ from what Python does by itself. A CA that comes from a kubeconfig is verified without
VERIFY_X509_STRICT: the CAs of EKS and MicroK8s lack an extension that Python 3.13 began to insist on, and every
other Kubernetes client accepts them; and it may be an intermediate (Go takes any certificate in the pool as an
anchor). A client key that is given inline has to become a file, because that is all the ssl module reads: it goes
through memory that has no name in the file system, or where the system has no such thing, through a file of mode
0600 that is unlinked before anything is written to it.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from merope.kube.errors import ConfigError


def client_context(
    ca: bytes | None, *, insecure: bool = False, certificate: bytes | None = None, key: bytes | None = None
) -> ssl.SSLContext:
    """A context that trusts ``ca`` (PEM; None: the system's roots) and presents ``certificate`` (PEM) if there is
    one.

    Raises ``ConfigError`` where the PEM can't be used or the key doesn't belong to the certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca is not None:
        try:
            context.load_verify_locations(cadata=ca.decode("ascii", "ignore"))
        except ssl.SSLError as error:
            raise ConfigError(f"the server's CA can't be read: {error.reason or error}") from error
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if certificate is not None:
        load_certificate(context, certificate, key or b"")
    return context


def load_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Gives a context the certificate (PEM, with its chain) and key (PEM) that it shows to the other side."""
    try:
        with _unnamed(certificate) as certificate_path, _unnamed(key) as key_path:
            context.load_cert_chain(certificate_path, key_path, password=_no_password)
    except ssl.SSLError as error:
        raise ConfigError(f"the client certificate and key can't be used: {error.reason or error}") from None


def _no_password() -> str:
    raise ConfigError("the client key is encrypted; only unencrypted keys can be used")


@contextmanager
def _unnamed(content: bytes) -> Iterator[str]:
    """A path under which content can be opened once, by this process, and that nobody finds afterwards."""
    descriptor = _open_unnamed()
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield f"/dev/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _open_unnamed() -> int:
    if hasattr(os, "memfd_create"):
        try:
            return os.memfd_create("merope", os.MFD_CLOEXEC)
        except OSError:
            pass  # a sandbox that forbids it
    descriptor, path = tempfile.mkstemp(prefix="merope-")  # mode 0600
    os.unlink(path)
    return descriptor
