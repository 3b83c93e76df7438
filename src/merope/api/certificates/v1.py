"""certificates.k8s.io/v1: CertificateSigningRequest."""

from typing import Annotated

from msgspec import UNSET

from merope.api.meta.v1 import Object
from merope.api.schema import Bytes, Int32, Maybe, Struct, Time, map_of, resource

GROUP = "certificates.k8s.io"


class CertificateSigningRequestSpec(Struct):
    """What is asked for, and by whom; the server fills in who asks."""

    request: Bytes
    signer_name: str
    expiration_seconds: Maybe[Int32 | None] = UNSET
    usages: Maybe[list[str] | None] = UNSET
    username: Maybe[str] = UNSET
    uid: Maybe[str] = UNSET
    groups: Maybe[list[str] | None] = UNSET
    extra: Maybe[dict[str, list[str]] | None] = UNSET


class CertificateSigningRequestCondition(Struct):
    """Approved, Denied or Failed; there can't be one that is False."""

    type: str
    status: str
    reason: Maybe[str] = UNSET
    message: Maybe[str] = UNSET
    last_update_time: Maybe[Time | None] = UNSET
    last_transition_time: Maybe[Time | None] = UNSET


class CertificateSigningRequestStatus(Struct):
    """The decision, and the certificate (PEM) once it is signed."""

    conditions: Maybe[Annotated[list[CertificateSigningRequestCondition] | None, map_of("type")]] = UNSET
    certificate: Maybe[Bytes | None] = UNSET


@resource(GROUP, "v1", "certificatesigningrequests", namespaced=False, short_names=("csr",), status=True)
class CertificateSigningRequest(Object):
    """Asks a signer for a certificate."""

    spec: CertificateSigningRequestSpec
    status: Maybe[CertificateSigningRequestStatus] = UNSET
