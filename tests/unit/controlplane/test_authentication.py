"""Who asks: certificates, service-account tokens, bootstrap tokens, static tokens."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from multidict import CIMultiDict

from merope.controlplane.authn import ANONYMOUS, Authenticator, parse_token_file
from merope.controlplane.errors import ApiError
from merope.controlplane.http.message import HttpRequest
from merope.controlplane.pki import Authority, subject_name
from merope.controlplane.resource import UserInfo
from merope.controlplane.store import Entry, Store
from merope.controlplane.tokens import SECRETS, SERVICE_ACCOUNTS, ServiceAccountTokens, TokenError

NOW = datetime.now(UTC)
CA = Authority.create("ca", NOW)
OTHER_CA = Authority.create("other", NOW)


def certificate(
    authority: Authority = CA,
    name: str = "alice",
    groups: tuple[str, ...] = ("g1", "g2"),
    usages: tuple[str, ...] = ("client auth",),
    begins: datetime = NOW - timedelta(minutes=5),
    ends: datetime = NOW + timedelta(hours=1),
) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = subject_name(name, groups) if name else x509.Name([])
    pem = authority.issue(key.public_key(), subject, [], usages, begins, ends)
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


class World:
    def __init__(self) -> None:
        self.store = Store()
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.tokens = ServiceAccountTokens(self.store, [self.key])
        ca = CA.certificate.public_bytes(serialization.Encoding.PEM)
        self.authn = Authenticator(self.store, self.tokens, ca, {"static-token": UserInfo("root", ("system:masters",))})

    async def account(self, name: str = "sa", uid: str = "uid-1") -> Entry:
        obj = {"metadata": {"name": name, "namespace": "ns", "uid": uid}}
        return await self.store.put(SERVICE_ACCOUNTS, "ns", name, obj, None)

    async def secret(self, name: str, namespace: str = "ns", **body: Any) -> Entry:
        obj = {"metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}"}, **body}
        return await self.store.put(SECRETS, namespace, name, obj, None)

    async def who(self, *, der: bytes | None = None, token: str | None = None) -> UserInfo:
        headers = CIMultiDict({"Authorization": f"Bearer {token}"} if token is not None else {})
        return await self.authn.authenticate(HttpRequest("GET", "/api", headers, b"", der))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.store.close()


async def test_without_credentials_one_is_anonymous(world: World) -> None:
    assert await world.who() is ANONYMOUS


async def test_a_certificate_names_user_and_groups(world: World) -> None:
    user = await world.who(der=certificate())

    assert (user.username, user.groups) == ("alice", ("g1", "g2", "system:authenticated"))
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")


@pytest.mark.parametrize(
    "der",
    [
        certificate(OTHER_CA),
        certificate(usages=("server auth",)),
        certificate(begins=NOW - timedelta(hours=2), ends=NOW - timedelta(hours=1)),
        certificate(begins=NOW + timedelta(hours=1), ends=NOW + timedelta(hours=2)),
        b"no certificate",
    ],
    ids=["another authority", "another usage", "expired", "not yet valid", "garbage"],
)
async def test_a_certificate_that_is_not_good_is_refused_even_beside_a_good_token(world: World, der: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        await world.who(der=der, token="static-token")

    assert caught.value.code == 401


async def test_a_certificate_without_a_name_counts_as_none(world: World) -> None:
    assert await world.who(der=certificate(name="", groups=())) is ANONYMOUS


async def test_a_static_token_is_its_user_and_an_unknown_one_is_refused(world: World) -> None:
    assert (await world.who(token="static-token")).username == "root"
    with pytest.raises(ApiError) as caught:
        await world.who(token="other")
    assert caught.value.code == 401


async def test_a_service_account_token_is_its_account(world: World) -> None:
    token, expires = world.tokens.issue(await world.account(), seconds=600)

    user = await world.who(token=token)

    assert user.username == "system:serviceaccount:ns:sa"
    assert user.uid == "uid-1"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    assert timedelta(seconds=590) < expires - datetime.now(UTC) <= timedelta(seconds=600)


async def test_a_token_dies_with_its_account_and_not_with_a_namesake(world: World) -> None:
    account = await world.account()
    token, _ = world.tokens.issue(account)
    assert world.authn.verify_token(token)

    await world.store.delete(SERVICE_ACCOUNTS, "ns", "sa", account)
    with pytest.raises(TokenError):
        world.authn.verify_token(token)

    await world.account(uid="uid-2")
    with pytest.raises(TokenError):
        world.authn.verify_token(token)


async def test_a_bound_token_dies_with_its_object(world: World) -> None:
    account, secret = await world.account(), await world.secret("x")
    token, _ = world.tokens.issue(account, bound=("Secret", "x", secret.uid))
    assert world.authn.verify_token(token)

    await world.store.delete(SECRETS, "ns", "x", secret)

    with pytest.raises(TokenError, match="has been invalidated"):
        world.authn.verify_token(token)


async def test_a_token_is_good_for_its_audiences_only(world: World) -> None:
    token, _ = world.tokens.issue(await world.account(), audiences=["elsewhere"])

    with pytest.raises(TokenError):
        world.authn.verify_token(token)
    assert world.authn.verify_token(token, ["elsewhere", "other"]).audiences == ("elsewhere",)


async def test_forged_tokens_are_refused(world: World) -> None:
    await world.account()
    claims = {
        "iss": world.tokens.issuer,
        "aud": [world.tokens.issuer],
        "exp": 9999999999,
        "kubernetes.io": {"namespace": "ns", "serviceaccount": {"name": "sa", "uid": "uid-1"}},
    }
    good, _ = world.tokens.issue(await world.account("b"))
    kid = jwt.get_unverified_header(good)["kid"]
    forged = [
        jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers={"kid": kid}),
        jwt.encode(claims, "secret" * 6, algorithm="HS256", headers={"kid": kid}),
        jwt.encode(claims, world.key, algorithm="ES256"),
        jwt.encode({**claims, "iss": "other"}, world.key, algorithm="ES256", headers={"kid": kid}),
        base64.urlsafe_b64encode(b'{"alg":"none"}').decode() + ".e30.",
        good[:-4],
    ]
    for token in forged:
        with pytest.raises(TokenError):
            world.authn.verify_token(token)
    accepted = jwt.encode(claims, world.key, algorithm="ES256", headers={"kid": kid})
    assert world.authn.verify_token(accepted).user.username == "system:serviceaccount:ns:sa"
    expired = jwt.encode({**claims, "exp": 1}, world.key, algorithm="ES256", headers={"kid": kid})
    with pytest.raises(TokenError, match="expired"):
        world.authn.verify_token(expired)


async def test_a_legacy_token_lives_as_long_as_its_secret(world: World) -> None:
    account = await world.account()
    token = world.tokens.issue_legacy(account, "tok")
    secret = await world.secret("tok", data={"token": base64.b64encode(token.encode()).decode()})
    assert world.authn.verify_token(token).user.username == "system:serviceaccount:ns:sa"

    await world.store.delete(SECRETS, "ns", "tok", secret)

    with pytest.raises(TokenError):
        world.authn.verify_token(token)


async def test_a_legacy_token_is_not_what_another_secret_of_the_same_name_holds(world: World) -> None:
    account = await world.account()
    token = world.tokens.issue_legacy(account, "tok")
    await world.secret("tok", data={"token": base64.b64encode(b"another").decode()})

    with pytest.raises(TokenError):
        world.authn.verify_token(token)


def bootstrap(**more: str) -> dict[str, Any]:
    data = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        **more,
    }
    return {
        "type": "bootstrap.kubernetes.io/token",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


async def test_a_bootstrap_token_has_its_groups(world: World) -> None:
    groups = {"auth-extra-groups": "system:bootstrappers:managedcluster"}
    await world.secret("bootstrap-token-abcdef", "kube-system", **bootstrap(**groups))

    user = await world.who(token="abcdef.0123456789abcdef")

    assert user.username == "system:bootstrap:abcdef"
    assert user.groups == ("system:bootstrappers", "system:bootstrappers:managedcluster", "system:authenticated")


@pytest.mark.parametrize(
    ("body", "token"),
    [
        (bootstrap(), "abcdef.0123456789abcdeX".lower()),
        (bootstrap(expiration="2020-01-01T00:00:00Z"), "abcdef.0123456789abcdef"),
        (bootstrap(**{"usage-bootstrap-authentication": "false"}), "abcdef.0123456789abcdef"),
        (bootstrap(**{"auth-extra-groups": "system:masters"}), "abcdef.0123456789abcdef"),
        ({**bootstrap(), "type": "Opaque"}, "abcdef.0123456789abcdef"),
    ],
    ids=["wrong secret", "expired", "not for authentication", "foreign group", "another type"],
)
async def test_bootstrap_tokens_that_are_not_good_are_refused(world: World, body: dict[str, Any], token: str) -> None:
    await world.secret("bootstrap-token-abcdef", "kube-system", **body)

    with pytest.raises(ApiError):
        await world.who(token=token)


def test_token_files_are_read_as_kubernetes_does() -> None:
    users = parse_token_file('t1,alice,1,"g1,g2"\n\n# comment\nt2,bob,2\n')

    assert users["t1"] == UserInfo("alice", ("g1", "g2", "system:authenticated"), "1")
    assert users["t2"].groups == ("system:authenticated",)
    with pytest.raises(ValueError, match="line 1"):
        parse_token_file("onlytoken")


async def test_public_keys_are_published_and_verify(world: World) -> None:
    token, _ = world.tokens.issue(await world.account())
    published = jwt.PyJWKSet.from_dict(world.tokens.key_set())

    key = published[jwt.get_unverified_header(token)["kid"]]

    assert jwt.decode(token, key.key, algorithms=["ES256"], audience=world.tokens.issuer)["sub"] == (
        "system:serviceaccount:ns:sa"
    )
