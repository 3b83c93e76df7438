"""Kubeconfigs, the in-cluster environment, proxies and credential sources."""

from __future__ import annotations

import base64
import json
import os
import stat
import time
from pathlib import Path

import pytest
import yaml

from merope.kube import ClientConfig, ConfigError, KubeConfig
from merope.kube.credentials import Credentials, token_expiry
from merope.kube.proxy import bypasses, proxy_for


def kubeconfig(*, cluster=None, user=None, name="one", current=True) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}:6443", **(cluster or {})}}],
        "users": [{"name": name, "user": user or {}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"ns-{name}"}}],
        **({"current-context": name} if current else {}),
    }


def write(path: Path, content: dict) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


def test_relative_paths_count_from_the_file_they_stand_in(tmp_path):
    (tmp_path / "sub").mkdir()
    user = {"client-certificate": "tls.crt", "client-key": "/abs/tls.key", "tokenFile": "../token"}
    path = write(tmp_path / "sub" / "kubeconfig", kubeconfig(cluster={"certificate-authority": "ca.crt"}, user=user))

    config = ClientConfig.load(path)

    assert config.server == "https://one:6443"
    assert config.namespace == "ns-one"
    assert config.ca_file == str(tmp_path / "sub" / "ca.crt")
    assert config.certificate_file == str(tmp_path / "sub" / "tls.crt")
    assert config.key_file == "/abs/tls.key"
    assert config.token_file == str(tmp_path / "sub" / "../token")


def test_the_first_file_of_kubeconfig_that_mentions_an_entry_wins(tmp_path, monkeypatch):
    first = write(tmp_path / "a", kubeconfig(name="a", current=False))
    second_content = kubeconfig(name="b")
    second_content["clusters"].append({"name": "a", "cluster": {"server": "https://shadowed"}})
    second = write(tmp_path / "b", second_content)
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join([str(tmp_path / "missing"), str(first), str(second)]))

    assert ClientConfig.load().server == "https://b:6443"
    assert ClientConfig.load(context="a").server == "https://a:6443"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"current-context": "two"}, "context 'two' does not exist"),
        ({"current-context": ""}, "no current-context"),
        ({"clusters": []}, "cluster 'one', which does not exist"),
        ({"users": []}, "user 'one', which does not exist"),
        ({"clusters": "x"}, "clusters must be a list"),
        ({"kind": "Pod"}, "expected apiVersion v1, kind Config"),
    ],
)
def test_a_broken_kubeconfig_says_what_is_wrong(change, message):
    with pytest.raises(ConfigError, match=message):
        KubeConfig.parse({**kubeconfig(), **change}).client_config()


@pytest.mark.parametrize(
    ("cluster", "user", "message"),
    [
        ({"server": "one:6443"}, {}, "expected a URL"),
        ({"certificate-authority-data": "%%"}, {}, "certificate-authority-data is not valid base64"),
        ({"certificate-authority": "x", "insecure-skip-tls-verify": True}, {}, "not allowed"),
        ({}, {"client-certificate": "x"}, "without its key"),
        ({}, {"auth-provider": {"name": "gcp"}}, "'gcp' is not supported"),
        ({}, {"exec": {"apiVersion": "client.authentication.k8s.io/v1alpha1", "command": "x"}}, "unsupported"),
        ({}, {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "x"}}, "interactiveMode"),
    ],
)
def test_an_unusable_entry_is_refused(cluster, user, message):
    with pytest.raises(ConfigError, match=message):
        KubeConfig.parse(kubeconfig(cluster=cluster, user=user)).client_config()


def test_yaml_that_is_none_is_refused_without_repeating_it():
    with pytest.raises(ConfigError, match="not valid YAML at line") as raised:
        KubeConfig.parse(b"users:\n- name: a\n  user: {token: s3cret")
    assert "s3cret" not in str(raised.value)


def test_verification_is_off_only_where_the_file_says_so_explicitly():
    assert not KubeConfig.parse(kubeconfig()).client_config().insecure
    assert not KubeConfig.parse(kubeconfig(cluster={"insecure-skip-tls-verify": "yes"})).client_config().insecure
    assert KubeConfig.parse(kubeconfig(cluster={"insecure-skip-tls-verify": True})).client_config().insecure


def test_everything_else_of_an_entry_arrives():
    cluster = {"tls-server-name": "api.example.com", "proxy-url": "http://p:1", "disable-compression": True}
    user = {"as": "jane", "as-groups": ["dev"], "as-uid": "7", "as-user-extra": {"a/b": ["c"]}}

    config = KubeConfig.parse(kubeconfig(cluster=cluster, user=user)).client_config()

    assert (config.tls_server_name, config.proxy_url, config.disable_compression) == (
        "api.example.com",
        "http://p:1",
        True,
    )
    assert config.impersonation_headers() == [
        ("Impersonate-User", "jane"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "dev"),
        ("Impersonate-Extra-a%2Fb", "c"),
    ]


def test_secrets_do_not_show_in_representations():
    config = ClientConfig(
        server="https://x", token="t0ken", password="pa55", key_data=b"k3y", certificate_data=b"c", username="u"
    )
    for secret in ("t0ken", "pa55", "k3y"):
        assert secret not in repr(config)


def test_in_a_cluster_the_service_account_is_used(tmp_path, monkeypatch):
    (tmp_path / "token").write_text("t")
    (tmp_path / "ca.crt").write_text("ca")
    (tmp_path / "namespace").write_text("here\n")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")

    config = ClientConfig.in_cluster(tmp_path)

    assert config.server == "https://[fd00::1]:6443"
    assert config.namespace == "here"
    assert config.token_file == str(tmp_path / "token")


def test_without_any_configuration_the_error_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    with pytest.raises(ConfigError, match=r"\.kube/config"):
        ClientConfig.load()


@pytest.mark.parametrize(
    ("server", "configured", "environment", "proxy"),
    [
        ("https://a.b:6443", None, {}, None),
        ("https://a.b:6443", "http://p:1", {"HTTPS_PROXY": "http://q"}, "http://p:1"),
        ("https://127.0.0.1", "http://p:1", {}, "http://p:1"),
        ("https://a.b:6443", None, {"HTTPS_PROXY": "q:3128"}, "http://q:3128"),
        ("https://a.b:6443", None, {"https_proxy": "https://q"}, "https://q"),
        ("http://a.b", None, {"HTTPS_PROXY": "q"}, None),
        ("http://a.b", None, {"http_proxy": "q"}, "http://q"),
        ("https://a.b:6443", None, {"HTTPS_PROXY": "q", "NO_PROXY": "x, .b"}, None),
        ("https://localhost:1", None, {"HTTPS_PROXY": "q"}, None),
    ],
)
def test_the_proxy_is_the_configured_one_else_the_environments(server, configured, environment, proxy):
    assert proxy_for(server, configured, environment) == proxy


def test_a_proxy_that_cannot_be_spoken_to_is_refused():
    with pytest.raises(ConfigError, match="socks5"):
        proxy_for("https://a", "socks5://p", {})


@pytest.mark.parametrize(
    ("host", "port", "excluded", "expected"),
    [
        ("a.example.com", 443, "example.com", True),
        ("example.com", 443, "example.com", True),
        ("example.com", 443, ".example.com", False),
        ("a.example.com", 443, "*.example.com", True),
        ("badexample.com", 443, "example.com", False),
        ("example.com", 443, "example.com:8443", False),
        ("example.com", 8443, "example.com:8443", True),
        ("10.1.2.3", 443, "10.0.0.0/8", True),
        ("11.1.2.3", 443, "10.0.0.0/8", False),
        ("10.1.2.3", 443, "10.1.2.3", True),
        ("fd00::1", 443, "fd00::/8", True),
        ("x", 443, "*", True),
        ("127.0.0.5", 443, "", True),
    ],
)
def test_no_proxy_is_read_as_go_reads_it(host, port, excluded, expected):
    assert bypasses(host, port, excluded) is expected


PLUGIN = """#!/bin/sh
echo x >> {count}
printf '%s' "$KUBERNETES_EXEC_INFO" > {info}
cat <<END
{answer}
END
exit {code}
"""


def plugin_config(tmp_path: Path, answer: dict | str, *, code: int = 0, **options) -> ClientConfig:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    script = tmp_path / "plugin"
    script.write_text(PLUGIN.format(count=tmp_path / "count", info=tmp_path / "info", answer=text, code=code))
    script.chmod(stat.S_IRWXU)
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./plugin",
        "interactiveMode": "Never",
        **options,
    }
    content = kubeconfig(
        user={"exec": plugin}, cluster={"certificate-authority-data": base64.b64encode(b"CA").decode()}
    )
    return KubeConfig.parse(content, directory=tmp_path).client_config()


def exec_credential(**status) -> dict:
    return {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}


async def test_a_plugins_token_is_used_until_shortly_before_it_expires(tmp_path):
    config = plugin_config(
        tmp_path, exec_credential(token="abc", expirationTimestamp="2999-01-01T00:00:00Z"), provideClusterInfo=True
    )
    credentials = Credentials(config)

    first = await credentials.current()
    credentials._check_at = 0
    again = await credentials.current()

    assert first.authorization == "Bearer abc"
    assert again is first
    assert (tmp_path / "count").read_text().count("x") == 1
    info = json.loads((tmp_path / "info").read_text())
    assert info["spec"]["cluster"]["server"] == "https://one:6443"
    assert info["spec"]["interactive"] is False

    assert credentials.invalidate()  # a 401
    await credentials.current()
    assert (tmp_path / "count").read_text().count("x") == 2


async def test_a_plugin_may_bring_a_certificate(tmp_path):
    answer = exec_credential(clientCertificateData="CERT", clientKeyData="KEY")

    credential = await Credentials(plugin_config(tmp_path, answer)).current()

    assert (credential.certificate, credential.key, credential.authorization) == (b"CERT", b"KEY", None)


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        ("nothing", 0, "no JSON"),
        ({"kind": "Pod"}, 0, "no ExecCredential"),
        ({**exec_credential(token="x"), "apiVersion": "client.authentication.k8s.io/v1beta1"}, 0, "asked for"),
        (exec_credential(), 0, "neither a token nor a certificate"),
        (exec_credential(clientCertificateData="x"), 0, "must come together"),
        (exec_credential(token="x"), 3, "exit code 3"),
        (exec_credential(token="x", expirationTimestamp="soon"), 0, "RFC 3339"),
    ],
)
async def test_a_plugin_that_misbehaves_is_named(tmp_path, answer, code, message):
    with pytest.raises(ConfigError, match=message):
        await Credentials(plugin_config(tmp_path, answer, code=code)).current()


async def test_a_missing_plugin_shows_its_install_hint(tmp_path):
    config = plugin_config(tmp_path, "", command="./elsewhere", installHint="get it there")
    with pytest.raises(ConfigError, match="get it there"):
        await Credentials(config).current()


async def test_a_token_file_is_read_again_when_it_changes(tmp_path):
    token = tmp_path / "token"
    token.write_text("one\n")
    credentials = Credentials(ClientConfig(server="https://x", token_file=str(token)))

    first = await credentials.current()
    (tmp_path / "new").write_text("two\n")
    os.replace(tmp_path / "new", token)
    credentials._check_at = 0
    second = await credentials.current()
    token.unlink()
    credentials._check_at = 0
    third = await credentials.current()

    assert [one.authorization for one in (first, second, third)] == ["Bearer one", "Bearer two", "Bearer two"]


def jwt(expiry: float) -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"exp": expiry}).encode()).decode().rstrip("=")
    return f"e30.{payload}.sig"


def oidc_config(**settings) -> ClientConfig:
    user = {"auth-provider": {"name": "oidc", "config": settings}}
    return KubeConfig.parse(kubeconfig(user=user)).client_config()


async def test_a_valid_oidc_token_is_used_as_it_is():
    token = jwt(time.time() + 3600)
    credential = await Credentials(oidc_config(**{"id-token": token})).current()
    assert credential.authorization == f"Bearer {token}"


async def test_an_expired_oidc_token_without_refresh_asks_to_log_in_again():
    with pytest.raises(ConfigError, match="log in again"):
        await Credentials(oidc_config(**{"id-token": jwt(time.time() - 1)})).current()


async def test_an_expired_oidc_token_is_renewed_at_its_issuer():
    from aiohttp import web

    from unit.kube.scripted import Server, document, serve

    fresh = jwt(time.time() + 3600)
    async with serve(Server()) as issuer:
        discovery = {"token_endpoint": f"{issuer.url}/token"}
        issuer.always("GET", "/.well-known/openid-configuration", document(discovery))

        async def renew(request: web.Request) -> web.StreamResponse:
            assert b"refresh_token=r3fresh" in issuer.bodies[-1]
            return await document({"id_token": fresh, "refresh_token": "next"})(request)

        issuer.always("POST", "/token", renew)
        config = oidc_config(
            **{
                "id-token": jwt(time.time() - 1),
                "refresh-token": "r3fresh",
                "idp-issuer-url": issuer.url,
                "client-id": "me",
            }
        )
        credential = await Credentials(config).current()

    assert credential.authorization == f"Bearer {fresh}"


@pytest.mark.parametrize("token", ["", "opaque", "a.b", "a.!!.c", "a.e30.c"])
def test_a_token_that_does_not_say_when_it_expires_never_does(token):
    assert token_expiry(token) == float("inf")
