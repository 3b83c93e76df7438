"""Where the API server is and who we are: kubeconfig files and the in-cluster environment.

A kubeconfig is read as kubectl reads it: ``KUBECONFIG`` may list several files, the first that mentions an entry
wins, relative paths count from the file they stand in. What comes out is one ``ClientConfig``, plain data that says
where each piece of credential comes from. Files are read later, by ``merope.kube.credentials``, again and again:
they rotate.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import yaml

from merope.kube.errors import ConfigError

SERVICE_ACCOUNT_DIR: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SIZE_LIMIT: Final = 4 * 1024 * 1024  # a kubeconfig larger than this is no kubeconfig


@dataclass(frozen=True)
class ExecConfig:
    """A credential plugin: a command that prints an ``ExecCredential``."""

    api_version: str
    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = "IfAvailable"
    cluster_extension: Any = None


@dataclass(frozen=True)
class OidcConfig:
    """An id token and, where it can be renewed, the means to do it."""

    id_token: str = ""
    refresh_token: str = ""
    issuer_url: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    issuer_ca: bytes | None = None


@dataclass(frozen=True)
class Impersonation:
    """Whom to act as; the server asks whether we may."""

    user: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class ClientConfig:
    """Everything needed to reach one API server as one identity. Immutable; derive variants with
    ``dataclasses.replace``.

    Where both a file and inline data are given for the same thing, the inline data wins (as in client-go).
    ``insecure`` switches off the verification of the server's certificate: set only where a kubeconfig says so
    explicitly.
    """

    server: str
    ca_data: bytes | None = None
    ca_file: str | None = None
    insecure: bool = False
    tls_server_name: str | None = None
    proxy_url: str | None = None
    certificate_data: bytes | None = None
    certificate_file: str | None = None
    key_data: bytes | None = field(default=None, repr=False)
    key_file: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    exec: ExecConfig | None = None
    oidc: OidcConfig | None = field(default=None, repr=False)
    impersonate: Impersonation | None = None
    disable_compression: bool = False
    namespace: str = "default"

    def __post_init__(self) -> None:
        if not self.server.startswith(("https://", "http://")):
            raise ConfigError(f"server {self.server!r}: expected a URL that starts with https:// or http://")
        if self.insecure and (self.ca_data or self.ca_file):
            raise ConfigError(f"server {self.server}: a CA together with insecure-skip-tls-verify is not allowed")
        if self.has_certificate and not (self.key_data or self.key_file):
            raise ConfigError(f"server {self.server}: a client certificate without its key")

    @property
    def has_certificate(self) -> bool:
        """Whether a client certificate is configured (an exec plugin may still bring one)."""
        return bool(self.certificate_data or self.certificate_file)

    def impersonation_headers(self) -> list[tuple[str, str]]:
        """The headers that ask to act as somebody else; one for each group and each extra value."""
        who = self.impersonate
        if who is None:
            return []
        headers = [("Impersonate-User", who.user)]
        if who.uid:
            headers.append(("Impersonate-Uid", who.uid))
        headers.extend(("Impersonate-Group", group) for group in who.groups)
        for key, values in who.extra.items():
            headers.extend((f"Impersonate-Extra-{quote(key, safe='')}", value) for value in values)
        return headers

    def anonymous(self) -> ClientConfig:
        """The same server with no identity at all."""
        return replace(
            self,
            certificate_data=None,
            certificate_file=None,
            key_data=None,
            key_file=None,
            token=None,
            token_file=None,
            username=None,
            password=None,
            exec=None,
            oidc=None,
            impersonate=None,
        )

    def acting_as(self, user: str, *groups: str, uid: str = "") -> ClientConfig:
        """The same, impersonating a user (``--as`` and ``--as-group`` of kubectl)."""
        return replace(self, impersonate=Impersonation(user, uid, groups))

    @classmethod
    def load(
        cls, path: str | os.PathLike[str] | None = None, context: str | None = None, *, in_cluster: bool = True
    ) -> ClientConfig:
        """The configuration that a command line tool uses: the file given, else ``KUBECONFIG``, else
        ``~/.kube/config``, else the service account of the Pod we run in (unless ``in_cluster`` is False).

        Raises ``ConfigError`` where none is there, or where the one that is there is unusable.
        """
        if path is not None:
            return KubeConfig.read([path], must_exist=True).client_config(context)
        listed = [entry for entry in os.environ.get("KUBECONFIG", "").split(os.pathsep) if entry]
        candidates: list[str | os.PathLike[str]] = list(listed) or [Path.home() / ".kube" / "config"]
        merged = KubeConfig.read(candidates)
        if merged.contexts or context is not None:
            return merged.client_config(context)
        if in_cluster and "KUBERNETES_SERVICE_HOST" in os.environ:
            return cls.in_cluster()
        raise ConfigError(
            f"no kubeconfig: looked at {', '.join(str(entry) for entry in candidates)}; "
            "set KUBECONFIG or give a path (and this is no Pod with a service account)"
        )

    @classmethod
    def in_cluster(cls, directory: Path = SERVICE_ACCOUNT_DIR) -> ClientConfig:
        """The service account of the Pod that this process runs in. The token file is read anew as it rotates."""
        host = os.environ.get("KUBERNETES_SERVICE_HOST")
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        token = directory / "token"
        if not host or not token.exists():
            raise ConfigError(f"not in a cluster: KUBERNETES_SERVICE_HOST or {token} is missing")
        ca = directory / "ca.crt"
        namespace = directory / "namespace"
        return cls(
            server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
            ca_file=str(ca) if ca.exists() else None,
            token_file=str(token),
            namespace=namespace.read_text().strip() if namespace.exists() else "default",
        )


@dataclass(frozen=True)
class KubeConfig:
    """One or several kubeconfig files, merged. The entries are as in the files, with paths made absolute."""

    clusters: Mapping[str, Mapping[str, Any]]
    users: Mapping[str, Mapping[str, Any]]
    contexts: Mapping[str, Mapping[str, Any]]
    current_context: str = ""
    source: str = ""

    @classmethod
    def read(cls, paths: Iterable[str | os.PathLike[str]], *, must_exist: bool = False) -> KubeConfig:
        """Reads and merges files; those that don't exist are passed over unless ``must_exist``."""
        loaded: list[KubeConfig] = []
        for path in map(Path, paths):
            try:
                if path.stat().st_size > _SIZE_LIMIT:
                    raise ConfigError(f"kubeconfig {path}: larger than {_SIZE_LIMIT} bytes")
                text = path.read_bytes()
            except FileNotFoundError:
                if must_exist:
                    raise ConfigError(f"kubeconfig {path}: no such file") from None
                continue
            except OSError as error:
                raise ConfigError(f"kubeconfig {path}: {error.strerror}") from error
            loaded.append(cls.parse(text, directory=path.absolute().parent, source=str(path)))
        return cls.merge(loaded)

    @classmethod
    def parse(
        cls, text: bytes | str | Mapping[str, Any], *, directory: Path | None = None, source: str = "kubeconfig"
    ) -> KubeConfig:
        """From the content of a file (YAML or JSON), or from the decoded content.

        ``directory`` is what relative paths count from; without one they stay as they are.
        """
        document: Any = text
        if not isinstance(text, Mapping):
            try:
                document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}  # noqa: S506
            except yaml.YAMLError as error:
                mark = getattr(error, "problem_mark", None)  # the text around it may hold keys: never quoted
                where = f" at line {mark.line + 1}" if mark is not None else ""
                raise ConfigError(f"{source}: not valid YAML{where}") from None
        if not isinstance(document, Mapping):
            raise ConfigError(f"{source}: expected a mapping with clusters, users and contexts")
        if document.get("kind") not in (None, "", "Config") or document.get("apiVersion") not in (None, "", "v1"):
            raise ConfigError(f"{source}: expected apiVersion v1, kind Config")

        def entries(plural: str, singular: str) -> dict[str, Mapping[str, Any]]:
            found: dict[str, Mapping[str, Any]] = {}
            for entry in document.get(plural) or ():
                if not isinstance(entry, Mapping) or not isinstance(entry.get("name", ""), str):
                    raise ConfigError(f"{source}: {plural} must be a list of entries with a name")
                body = entry.get(singular) or {}
                if not isinstance(body, Mapping):
                    raise ConfigError(f"{source}: {singular} {entry.get('name')!r} must be a mapping")
                found.setdefault(entry.get("name", ""), _absolute(body, directory))
            return found

        return cls(
            entries("clusters", "cluster"),
            entries("users", "user"),
            entries("contexts", "context"),
            str(document.get("current-context") or ""),
            source,
        )

    @classmethod
    def merge(cls, configs: Sequence[KubeConfig]) -> KubeConfig:
        """One out of many: for every name, and for the current context, the first that has it wins."""
        clusters: dict[str, Mapping[str, Any]] = {}
        users: dict[str, Mapping[str, Any]] = {}
        contexts: dict[str, Mapping[str, Any]] = {}
        current = ""
        for config in configs:
            for target, part in ((clusters, config.clusters), (users, config.users), (contexts, config.contexts)):
                for name, entry in part.items():
                    target.setdefault(name, entry)
            current = current or config.current_context
        return cls(clusters, users, contexts, current, ", ".join(config.source for config in configs))

    def client_config(self, context: str | None = None) -> ClientConfig:
        """The configuration of one context (default: the current one). Raises ``ConfigError`` naming what is
        missing.
        """
        name = context or self.current_context
        if not name:
            raise ConfigError(f"{self.source}: no current-context; name one of: {', '.join(self.contexts) or 'none'}")
        if name not in self.contexts:
            raise ConfigError(f"{self.source}: context {name!r} does not exist")
        entry = self.contexts[name]
        cluster_name, user_name = entry.get("cluster", ""), entry.get("user", "")
        if cluster_name not in self.clusters:
            raise ConfigError(f"{self.source}: context {name!r} names cluster {cluster_name!r}, which does not exist")
        if user_name and user_name not in self.users:
            raise ConfigError(f"{self.source}: context {name!r} names user {user_name!r}, which does not exist")
        cluster, user = self.clusters[cluster_name], self.users.get(user_name, {})
        where = f"{self.source}: context {name!r}"
        return ClientConfig(
            server=str(cluster.get("server") or "").rstrip("/"),
            ca_data=_data(cluster, "certificate-authority-data", where),
            ca_file=cluster.get("certificate-authority") or None,
            insecure=cluster.get("insecure-skip-tls-verify") is True,
            tls_server_name=cluster.get("tls-server-name") or None,
            proxy_url=cluster.get("proxy-url") or None,
            disable_compression=cluster.get("disable-compression") is True,
            certificate_data=_data(user, "client-certificate-data", where),
            certificate_file=user.get("client-certificate") or None,
            key_data=_data(user, "client-key-data", where),
            key_file=user.get("client-key") or None,
            token=user.get("token") or None,
            token_file=user.get("tokenFile") or None,
            username=user.get("username") or None,
            password=user.get("password") or None,
            exec=_exec(user, cluster, where),
            oidc=_oidc(user, where),
            impersonate=_impersonation(user),
            namespace=entry.get("namespace") or "default",
        )


_PATHS: Final = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


def _absolute(entry: Mapping[str, Any], directory: Path | None) -> Mapping[str, Any]:
    if directory is None:
        return entry
    resolved = dict(entry)
    for key in _PATHS:
        if isinstance(resolved.get(key), str) and resolved[key]:
            resolved[key] = str(directory / resolved[key])
    plugin = resolved.get("exec")
    if isinstance(plugin, Mapping) and os.sep in str(plugin.get("command", "")):
        resolved["exec"] = {**plugin, "command": str(directory / str(plugin["command"]))}
    return resolved


def _data(entry: Mapping[str, Any], key: str, where: str) -> bytes | None:
    value = entry.get(key)
    if not value:
        return None
    try:
        return base64.b64decode("".join(str(value).split()), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(f"{where}: {key} is not valid base64") from None


def _exec(user: Mapping[str, Any], cluster: Mapping[str, Any], where: str) -> ExecConfig | None:
    plugin = user.get("exec")
    if not plugin:
        return None
    api_version = str(plugin.get("apiVersion") or "")
    if api_version not in ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"):
        raise ConfigError(f"{where}: exec plugin has unsupported apiVersion {api_version!r}")
    if not plugin.get("command"):
        raise ConfigError(f"{where}: exec plugin has no command")
    mode = plugin.get("interactiveMode") or ("" if api_version.endswith("/v1") else "IfAvailable")
    if mode not in ("Never", "IfAvailable", "Always"):
        raise ConfigError(f"{where}: exec plugin needs interactiveMode Never, IfAvailable or Always, has {mode!r}")
    extension = next(
        (
            entry.get("extension")
            for entry in cluster.get("extensions") or ()
            if entry.get("name") == "client.authentication.k8s.io/exec"
        ),
        None,
    )
    return ExecConfig(
        api_version=api_version,
        command=str(plugin["command"]),
        args=tuple(str(arg) for arg in plugin.get("args") or ()),
        env={str(entry["name"]): str(entry.get("value", "")) for entry in plugin.get("env") or ()},
        install_hint=str(plugin.get("installHint") or ""),
        provide_cluster_info=plugin.get("provideClusterInfo") is True,
        interactive_mode=mode,
        cluster_extension=extension,
    )


def _oidc(user: Mapping[str, Any], where: str) -> OidcConfig | None:
    provider = user.get("auth-provider")
    if not provider:
        return None
    if provider.get("name") != "oidc":
        raise ConfigError(f"{where}: auth-provider {provider.get('name')!r} is not supported (only oidc is; use exec)")
    settings = provider.get("config") or {}
    ca = _data(settings, "idp-certificate-authority-data", where)
    if ca is None and settings.get("idp-certificate-authority"):
        try:
            ca = Path(settings["idp-certificate-authority"]).read_bytes()
        except OSError as error:
            raise ConfigError(f"{where}: idp-certificate-authority: {error}") from error
    return OidcConfig(
        id_token=settings.get("id-token") or "",
        refresh_token=settings.get("refresh-token") or "",
        issuer_url=settings.get("idp-issuer-url") or "",
        client_id=settings.get("client-id") or "",
        client_secret=settings.get("client-secret") or "",
        issuer_ca=ca,
    )


def _impersonation(user: Mapping[str, Any]) -> Impersonation | None:
    if not user.get("as"):
        return None
    return Impersonation(
        user=str(user["as"]),
        uid=str(user.get("as-uid") or ""),
        groups=tuple(str(group) for group in user.get("as-groups") or ()),
        extra={str(key): tuple(values or ()) for key, values in (user.get("as-user-extra") or {}).items()},
    )
