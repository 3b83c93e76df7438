"""admissionregistration.k8s.io/v1: webhook configurations, typed as far as anybody here looks into them."""

from typing import Annotated

from msgspec import UNSET

from merope.api.meta.v1 import LabelSelector, Object
from merope.api.schema import Bytes, Int32, Manifest, Maybe, Struct, map_of, resource

GROUP = "admissionregistration.k8s.io"


class ServiceReference(Struct):
    """The service behind which a webhook listens."""

    namespace: str
    name: str
    path: Maybe[str | None] = UNSET
    port: Maybe[Int32 | None] = UNSET


class WebhookClientConfig(Struct):
    """How a webhook is called: by URL or through a service, verified with the given certificates (PEM)."""

    url: Maybe[str | None] = UNSET
    service: Maybe[ServiceReference | None] = UNSET
    ca_bundle: Maybe[Bytes | None] = UNSET


class Webhook(Struct):
    """One webhook, and when it is asked."""

    name: str
    client_config: WebhookClientConfig
    rules: Maybe[list[Manifest] | None] = UNSET
    failure_policy: Maybe[str | None] = UNSET
    match_policy: Maybe[str | None] = UNSET
    namespace_selector: Maybe[LabelSelector | None] = UNSET
    object_selector: Maybe[LabelSelector | None] = UNSET
    side_effects: Maybe[str | None] = UNSET
    timeout_seconds: Maybe[Int32 | None] = UNSET
    admission_review_versions: Maybe[list[str] | None] = UNSET
    reinvocation_policy: Maybe[str | None] = UNSET
    match_conditions: Maybe[list[Manifest] | None] = UNSET


@resource(GROUP, "v1", "mutatingwebhookconfigurations", namespaced=False)
class MutatingWebhookConfiguration(Object):
    """Webhooks that may change objects before they are stored."""

    webhooks: Maybe[Annotated[list[Webhook] | None, map_of("name")]] = UNSET


@resource(GROUP, "v1", "validatingwebhookconfigurations", namespaced=False)
class ValidatingWebhookConfiguration(Object):
    """Webhooks that may refuse objects before they are stored."""

    webhooks: Maybe[Annotated[list[Webhook] | None, map_of("name")]] = UNSET
