"""ValidatingWebhookConfiguration and MutatingWebhookConfiguration as objects: defaults and validation."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from merope.controlplane import errors
from merope.controlplane.errors import FieldError
from merope.controlplane.resource import Object, Request, Strategy
from merope.lang.names import is_dns1123_subdomain, is_qualified_name

if TYPE_CHECKING:
    from merope.controlplane.server import Server

GROUP: Final = "admissionregistration.k8s.io"
_OPERATIONS: Final = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_URL_FORM: Final = "desired format: https://host[/path]"
_MAX_CONDITIONS: Final = 64


class WebhookConfigurationStrategy(Strategy):
    """Both kinds; ``mutating`` ones know reinvocation."""

    tracks_generation = True
    unconditional_update = False

    def __init__(self, *, mutating: bool) -> None:
        self.mutating = mutating

    def default(self, server: Server, request: Request, obj: Object) -> None:
        for webhook in obj.get("webhooks") or ():
            if not isinstance(webhook, dict):
                continue
            webhook.setdefault("failurePolicy", "Fail")
            webhook.setdefault("matchPolicy", "Equivalent")
            webhook.setdefault("namespaceSelector", {})
            webhook.setdefault("objectSelector", {})
            webhook.setdefault("timeoutSeconds", 10)
            if self.mutating:
                webhook.setdefault("reinvocationPolicy", "Never")
            for rule in webhook.get("rules") or ():
                rule.setdefault("scope", "*")
            service = (webhook.get("clientConfig") or {}).get("service")
            if isinstance(service, dict):
                service.setdefault("port", 443)

    def spec_changed(self, obj: Object, old: Object) -> bool:
        return bool(obj.get("webhooks") != old.get("webhooks"))

    def validate(self, server: Server, request: Request, obj: Object, old: Object | None) -> list[FieldError]:
        problems: list[FieldError] = []
        seen: set[str] = set()
        for index, webhook in enumerate(obj.get("webhooks") or ()):
            path = f"webhooks[{index}]"
            problems.extend(self._validate_webhook(webhook, path))
            name = webhook.get("name", "")
            if name in seen:
                problems.append(errors.duplicate(f"{path}.name", name))
            seen.add(name)
        return problems

    def _validate_webhook(self, webhook: Mapping[str, Any], path: str) -> list[FieldError]:
        problems = _validate_name(webhook.get("name", ""), f"{path}.name")
        problems += _validate_choice(webhook, path, "failurePolicy", ("Fail", "Ignore"))
        problems += _validate_choice(webhook, path, "matchPolicy", ("Equivalent", "Exact"))
        if self.mutating:
            problems += _validate_choice(webhook, path, "reinvocationPolicy", ("IfNeeded", "Never"))
        if webhook.get("sideEffects") is None:
            problems.append(errors.required(f"{path}.sideEffects", "must specify one of None, NoneOnDryRun"))
        else:
            problems += _validate_choice(webhook, path, "sideEffects", ("None", "NoneOnDryRun"))
        seconds = webhook.get("timeoutSeconds", 10)
        if not 1 <= seconds <= 30:
            detail = "the timeout value must be between 1 and 30 seconds"
            problems.append(errors.invalid_value(f"{path}.timeoutSeconds", seconds, detail))
        problems += _validate_versions(webhook.get("admissionReviewVersions") or (), f"{path}.admissionReviewVersions")
        problems += _validate_client(webhook.get("clientConfig") or {}, f"{path}.clientConfig")
        for index, rule in enumerate(webhook.get("rules") or ()):
            problems += _validate_rule(rule, f"{path}.rules[{index}]")
        problems += _validate_conditions(webhook.get("matchConditions") or (), f"{path}.matchConditions")
        return problems


STRATEGIES: Final[dict[tuple[str, str], Strategy]] = {
    (GROUP, "ValidatingWebhookConfiguration"): WebhookConfigurationStrategy(mutating=False),
    (GROUP, "MutatingWebhookConfiguration"): WebhookConfigurationStrategy(mutating=True),
}


def _validate_name(name: str, path: str) -> list[FieldError]:
    if not name:
        return [errors.required(path)]
    if len(name.split(".")) < 3:
        detail = "should be a domain with at least three segments separated by dots"
        return [errors.invalid_value(path, name, detail)]
    return [errors.invalid_value(path, name, problem) for problem in is_dns1123_subdomain(name)]


def _validate_choice(webhook: Mapping[str, Any], path: str, key: str, known: Sequence[str]) -> list[FieldError]:
    value = webhook.get(key)
    return [] if value is None or value in known else [errors.not_supported(f"{path}.{key}", value, known)]


def _validate_versions(versions: Sequence[str], path: str) -> list[FieldError]:
    if not versions:
        return [errors.required(path, "must specify one of v1, v1beta1")]
    problems = [
        errors.duplicate(f"{path}[{index}]", version)
        for index, version in enumerate(versions)
        if version in versions[:index]
    ]
    if not {"v1", "v1beta1"} & set(versions):
        problems.append(errors.invalid_value(path, list(versions), "must include at least one of v1, v1beta1"))
    return problems


def _validate_client(config: Mapping[str, Any], path: str) -> list[FieldError]:
    url, service = config.get("url"), config.get("service")
    problems: list[FieldError] = []
    if (url is None) == (service is None):
        problems.append(errors.required(path, "exactly one of url or service is required"))
    elif url is not None:
        problems += _validate_url(url, f"{path}.url")
    else:
        problems += _validate_service(service or {}, f"{path}.service")
    bundle = config.get("caBundle")
    if bundle:
        try:
            pem = base64.b64decode(bundle, validate=True)
        except (binascii.Error, ValueError):
            pem = b""
        if b"-----BEGIN CERTIFICATE-----" not in pem:
            detail = "unable to load root certificates: no certificate in PEM form"
            problems.append(errors.invalid_value(f"{path}.caBundle", "<ca bundle>", detail))
    return problems


def _validate_url(url: str, path: str) -> list[FieldError]:
    parts = urlsplit(url)
    problems: list[FieldError] = []
    if parts.scheme != "https":
        detail = f"'https' is the only allowed URL scheme; {_URL_FORM}"
        problems.append(errors.invalid_value(path, parts.scheme, detail))
    if not parts.hostname:
        problems.append(errors.invalid_value(path, parts.netloc, f"host must be specified; {_URL_FORM}"))
    if parts.username is not None:
        problems.append(errors.invalid_value(path, "<redacted>", "user information is not permitted in the URL"))
    if parts.fragment:
        problems.append(errors.invalid_value(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        problems.append(errors.invalid_value(path, parts.query, "query parameters are not permitted in the URL"))
    return problems


def _validate_service(service: Mapping[str, Any], path: str) -> list[FieldError]:
    problems = [errors.required(f"{path}.{key}") for key in ("name", "namespace") if not service.get(key)]
    port = service.get("port", 443)
    if not 1 <= port <= 65535:
        detail = "port is not valid: must be between 1 and 65535, inclusive"
        problems.append(errors.invalid_value(f"{path}.port", port, detail))
    url_path = service.get("path")
    if url_path is not None and not url_path.startswith("/"):
        problems.append(errors.invalid_value(f"{path}.path", url_path, "must start with a '/'"))
    return problems


def _validate_rule(rule: Mapping[str, Any], path: str) -> list[FieldError]:
    problems: list[FieldError] = []
    for key in ("operations", "apiGroups", "apiVersions", "resources"):
        values: Sequence[str] = rule.get(key) or ()
        if not values:
            problems.append(errors.required(f"{path}.{key}"))
        elif key != "resources" and len(values) > 1 and "*" in values:
            detail = (
                "if '*' is present, must not specify other "
                + {
                    "operations": "operations",
                    "apiGroups": "API groups",
                    "apiVersions": "API versions",
                }[key]
            )
            problems.append(errors.invalid_value(f"{path}.{key}", list(values), detail))
    problems += [
        errors.not_supported(f"{path}.operations[{index}]", operation, _OPERATIONS)
        for index, operation in enumerate(rule.get("operations") or ())
        if operation not in _OPERATIONS
    ]
    scope = rule.get("scope", "*")
    if scope not in ("*", "Cluster", "Namespaced"):
        problems.append(errors.not_supported(f"{path}.scope", scope, ("*", "Cluster", "Namespaced")))
    return problems


def _validate_conditions(conditions: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    from merope.controlplane.admission.conditions import compile_condition
    from merope.lang.cel import CompileError

    problems: list[FieldError] = []
    if len(conditions) > _MAX_CONDITIONS:
        detail = f"must have at most {_MAX_CONDITIONS} items"
        problems.append(FieldError(path, errors.TOO_MANY, len(conditions), detail))
    names: set[str] = set()
    for index, condition in enumerate(conditions):
        at = f"{path}[{index}]"
        name, expression = condition.get("name", ""), (condition.get("expression") or "").strip()
        if not name:
            problems.append(errors.required(f"{at}.name"))
        else:
            problems += [errors.invalid_value(f"{at}.name", name, problem) for problem in is_qualified_name(name)]
            if name in names:
                problems.append(errors.duplicate(f"{at}.name", name))
            names.add(name)
        if not expression:
            problems.append(errors.required(f"{at}.expression"))
            continue
        try:
            compile_condition(expression)
        except CompileError as error:
            detail = f"compilation failed: {error}"
            problems.append(errors.invalid_value(f"{at}.expression", expression, detail))
    return problems
