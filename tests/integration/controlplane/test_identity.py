"""Who somebody is and what that lets him do: certificates, tokens, impersonation, roles, signing requests."""

import base64
import datetime
import json
import secrets
import ssl
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fixtures.api import Answer, Api, ApiFailureError, Manifest
from fixtures.certificates import CertificateAuthority, signing_request
from fixtures.cluster import Cluster
from fixtures.conditions import wait_until

REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def unique(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(4)}"


def who(api: Api, headers: dict[str, str] | None = None) -> Manifest:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    info: Manifest = api.call("POST", WHO, review, headers)["status"]["userInfo"]
    return info


def with_certificate(cluster: Cluster, certificate: bytes, key: bytes) -> Api:
    context = cluster.ssl_context()
    for name, content in (("tls.crt", certificate), ("tls.key", key)):
        (cluster.directory / name).write_bytes(content)
    context.load_cert_chain(cluster.directory / "tls.crt", cluster.directory / "tls.key")
    return Api(cluster.url, context)


def as_user(cluster: Cluster, user: str, *groups: str) -> "Impersonated":
    return Impersonated(cluster.api, user, groups)


class Impersonated:
    """Requests as somebody else; in one group at most, since the fixtures' client sends a header once."""

    def __init__(self, api: Api, user: str, groups: tuple[str, ...]) -> None:
        self.api = api
        self.headers = {"Impersonate-User": user}
        if groups:
            (self.headers["Impersonate-Group"],) = groups

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        return self.api.request(method, path, body, {**self.headers, **headers})


def grant(cluster: Cluster, user: str, *rules: Manifest, namespace: str = "") -> str:
    """Give ``user`` rules; in the whole cluster without a namespace. Returns the name of role and binding."""
    name = unique("tests")
    base = f"{RBAC}/namespaces/{namespace}" if namespace else RBAC
    kind, roles, bindings = (
        ("Role", "roles", "rolebindings") if namespace else ("ClusterRole", "clusterroles", "clusterrolebindings")
    )
    cluster.api.create(f"{base}/{roles}", {"metadata": {"name": name}, "rules": list(rules)})
    subject = {"kind": "User", "name": user}
    binding = {"metadata": {"name": name}, "roleRef": {"kind": kind, "name": name}, "subjects": [subject]}
    cluster.api.create(f"{base}/{bindings}", binding)
    return name


def rule(verbs: str, resources: str, group: str = "", *names: str) -> Manifest:
    found: Manifest = {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}
    if names:
        found["resourceNames"] = list(names)
    return found


def csr(user: str = "someone", groups: tuple[str, ...] = (), **spec: Any) -> Manifest:
    pem = signing_request(ec.generate_private_key(ec.SECP256R1()), user, groups)
    stated = {
        "request": base64.b64encode(pem).decode(),
        "signerName": CLIENT_SIGNER,
        "usages": ["digital signature", "client auth"],
        **spec,
    }
    return {"metadata": {"name": unique("csr")}, "spec": stated}


def decide(kind: str) -> Manifest:
    return {"type": kind, "status": "True", "reason": "Tests", "message": "by the test"}


def claims(token: str) -> Manifest:
    part = token.split(".")[1]
    found: Manifest = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


# --- certificates ------------------------------------------------------------------------------------------------


def test_a_client_certificate_names_user_and_groups(cluster: Cluster) -> None:
    certificate, key = cluster.client_certificate("system:open-cluster-management:c1:a1", ["g:one", "g:two"])

    info = who(with_certificate(cluster, certificate, key))

    assert info["username"] == "system:open-cluster-management:c1:a1"
    assert info["groups"] == ["g:one", "g:two", "system:authenticated"]
    (credential,) = info["extra"]["authentication.kubernetes.io/credential-id"]
    assert credential.startswith("X509SHA256=")


def test_a_certificate_of_a_stranger_is_refused(cluster: Cluster) -> None:
    certificate, key = CertificateAuthority("strangers").issue_client("admin", ["system:masters"])
    api = with_certificate(cluster, certificate, key)

    try:
        answer = api.request("GET", "/api/v1/namespaces")
    except (ssl.SSLError, ConnectionError):
        return  # in the handshake is as good
    assert answer.status == 401


def test_without_credentials_one_is_anonymous_and_may_see_health_and_version_only(cluster: Cluster) -> None:
    api = Api(cluster.url, cluster.ssl_context())

    assert api.request("GET", "/livez").status == 200
    assert api.request("GET", "/version").status == 200
    refused = api.request("GET", "/api/v1/namespaces")
    assert refused.status == 403
    assert 'User "system:anonymous" cannot list resource "namespaces"' in refused.body["message"]


@pytest.mark.parametrize("token", ["nonsense", "aaaaaa.bbbbbbbbbbbbbbbb", "a.b.c"])
def test_a_bad_token_is_never_anonymous(cluster: Cluster, token: str) -> None:
    answer = cluster.as_token(token).request("GET", "/livez")

    assert (answer.status, answer.body["message"]) == (401, "Unauthorized")


# --- service accounts --------------------------------------------------------------------------------------------


def test_a_requested_token_is_the_service_account_while_that_lives(cluster: Cluster, namespace: str) -> None:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    account = cluster.api.create(accounts, {"metadata": {"name": "agent"}})
    token = cluster.service_account_token(namespace, "agent")
    api = cluster.as_token(token)

    info = who(api)

    assert info["username"] == f"system:serviceaccount:{namespace}:agent"
    assert info["uid"] == account["metadata"]["uid"]
    assert info["groups"] == [
        "system:serviceaccounts",
        f"system:serviceaccounts:{namespace}",
        "system:authenticated",
    ]
    stated = claims(token)
    assert stated["sub"] == info["username"]
    assert stated["exp"] - stated["iat"] == 3600
    cluster.api.delete(f"{accounts}/agent")
    cluster.api.create(accounts, {"metadata": {"name": "agent"}})
    wait_until(lambda: api.request("GET", "/api").status == 401, "the token of the old account to be refused")


def test_a_token_bound_to_a_secret_ends_with_it(cluster: Cluster, namespace: str) -> None:
    secret = cluster.api.create(f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": "bound"}})
    reference = {"apiVersion": "v1", "kind": "Secret", "name": "bound", "uid": secret["metadata"]["uid"]}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    answer = cluster.api.create(path, {"spec": {"expirationSeconds": 600, "boundObjectRef": reference}})
    api = cluster.as_token(answer["status"]["token"])
    assert who(api)["username"].endswith(":default")

    cluster.api.delete(f"/api/v1/namespaces/{namespace}/secrets/bound")

    wait_until(lambda: api.request("GET", "/api").status == 401, "the token to be refused")
    reference["uid"] = "another"
    again = cluster.api.request("POST", path, {"spec": {"boundObjectRef": reference}})
    assert again.status == 404


def test_a_token_for_another_audience_is_no_credential_here_but_can_be_reviewed(
    cluster: Cluster, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    token = cluster.api.create(path, {"spec": {"audiences": ["elsewhere"]}})["status"]["token"]

    assert cluster.as_token(token).request("GET", "/api").status == 401

    def review(*audiences: str) -> Manifest:
        body = {"spec": {"token": token, "audiences": list(audiences)}}
        status: Manifest = cluster.api.create("/apis/authentication.k8s.io/v1/tokenreviews", body)["status"]
        return status

    assert review("elsewhere", "third")["audiences"] == ["elsewhere"]
    assert not review().get("authenticated")


@pytest.mark.parametrize(("seconds", "status"), [(599, 422), (600, 201), (1 << 33, 422)])
def test_lifetimes_of_tokens_are_bounded(cluster: Cluster, namespace: str, seconds: int, status: int) -> None:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"

    assert cluster.api.request("POST", path, {"spec": {"expirationSeconds": seconds}}).status == status


def test_a_token_secret_is_filled_and_goes_with_its_account(cluster: Cluster, namespace: str) -> None:
    base = f"/api/v1/namespaces/{namespace}"
    account = cluster.api.create(f"{base}/serviceaccounts", {"metadata": {"name": "old"}})
    annotations = {"kubernetes.io/service-account.name": "old"}
    secret = {"metadata": {"name": "t", "annotations": annotations}, "type": "kubernetes.io/service-account-token"}
    cluster.api.create(f"{base}/secrets", secret)

    filled = wait_until(
        lambda: (found := cluster.api.get(f"{base}/secrets/t")).get("data", {}).get("token") and found, "the token"
    )

    assert filled["metadata"]["annotations"]["kubernetes.io/service-account.uid"] == account["metadata"]["uid"]
    assert base64.b64decode(filled["data"]["namespace"]).decode() == namespace
    assert b"BEGIN CERTIFICATE" in base64.b64decode(filled["data"]["ca.crt"])
    api = cluster.as_token(base64.b64decode(filled["data"]["token"]).decode())
    assert who(api)["username"] == f"system:serviceaccount:{namespace}:old"
    cluster.api.delete(f"{base}/serviceaccounts/old")
    wait_until(lambda: cluster.api.find(f"{base}/secrets/t") is None, "the Secret to go")
    wait_until(lambda: api.request("GET", "/api").status == 401, "the token to be refused")


@pytest.mark.embedded_only
def test_a_bootstrap_token_is_good_until_it_expires(cluster: Cluster) -> None:
    secrets_path = "/api/v1/namespaces/kube-system/secrets"

    def create(token_id: str, **changes: str) -> Api:
        data = {
            "token-id": token_id,
            "token-secret": "0123456789abcdef",
            "usage-bootstrap-authentication": "true",
            "auth-extra-groups": "system:bootstrappers:managedcluster",
            **changes,
        }
        metadata = {"name": f"bootstrap-token-{token_id}"}
        cluster.api.create(
            secrets_path, {"metadata": metadata, "type": "bootstrap.kubernetes.io/token", "stringData": data}
        )
        return cluster.as_token(f"{token_id}.0123456789abcdef")

    info = who(create("abcdef"))
    assert info["username"] == "system:bootstrap:abcdef"
    assert info["groups"] == ["system:bootstrappers", "system:bootstrappers:managedcluster", "system:authenticated"]
    refused = [
        create("nousag", **{"usage-bootstrap-authentication": "false"}),
        create("groups", **{"auth-extra-groups": "system:masters"}),
        cluster.as_token("abcdef.0123456789abcdee"),
    ]
    for api in refused:
        assert api.request("GET", "/api").status == 401
    soon = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    create("expire", expiration=soon)
    wait_until(lambda: cluster.api.find(f"{secrets_path}/bootstrap-token-expire") is None, "the expired Secret to go")


# --- impersonation -----------------------------------------------------------------------------------------------


def test_impersonation_needs_permission_for_every_name(cluster: Cluster) -> None:
    user = unique("user")
    grant(cluster, user, rule("impersonate", "users", "", "alice"), rule("impersonate", "groups", "", "dev"))
    certificate, key = cluster.client_certificate(user)
    api = with_certificate(cluster, certificate, key)

    def ask(**headers: str) -> Answer:
        return api.request("POST", WHO, {}, {key.replace("_", "-"): value for key, value in headers.items()})

    allowed = wait_until(
        lambda: (answer := ask(Impersonate_User="alice", Impersonate_Group="dev")).status == 201 and answer,
        "the permission",
    )
    assert allowed.body["status"]["userInfo"] == {"username": "alice", "groups": ["dev", "system:authenticated"]}
    for headers in (
        {"Impersonate_User": "bob"},
        {"Impersonate_User": "alice", "Impersonate_Group": "system:masters"},
        {"Impersonate_User": "alice", "Impersonate_Uid": "1"},
        {"Impersonate_User": "alice", "Impersonate_Extra_scopes": "x"},
        {"Impersonate_User": "system:serviceaccount:default:default"},
    ):
        assert ask(**headers).status == 403, headers
    assert ask(Impersonate_Group="dev").status in (400, 500)


def test_an_impersonated_service_account_has_its_groups(cluster: Cluster) -> None:
    info = who(cluster.api, {"Impersonate-User": "system:serviceaccount:ns:n"})

    assert info["groups"] == ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]


# --- signing requests --------------------------------------------------------------------------------------------


def test_a_request_carries_its_author_whatever_it_says(cluster: Cluster) -> None:
    request = csr()
    request["spec"] |= {"username": "somebody else", "groups": ["g"], "uid": "1", "extra": {"a": ["b"]}}

    created = as_user(cluster, "bob", "system:masters").request("POST", REQUESTS, request).body

    spec = created["spec"]
    assert (spec["username"], spec["groups"]) == ("bob", ["system:masters", "system:authenticated"])
    assert "uid" not in spec
    assert created["status"] == {}
    cluster.api.delete(f"{REQUESTS}/{created['metadata']['name']}")


def test_an_approved_request_is_signed_with_all_groups(cluster: Cluster) -> None:
    request = cluster.api.create(REQUESTS, csr("agent", ("g:two", "g:one"), expirationSeconds=3600))
    path = f"{REQUESTS}/{request['metadata']['name']}"

    cluster.api.patch(f"{path}/approval", {"status": {"conditions": [decide("Approved")]}})

    encoded = wait_until(lambda: cluster.api.get(path)["status"].get("certificate"), "the certificate")
    certificate = x509.load_pem_x509_certificate(base64.b64decode(encoded))
    organizations = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [each.value for each in organizations] == ["g:one", "g:two"]
    lifetime = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(minutes=55) < lifetime <= datetime.timedelta(hours=1)
    cluster.api.delete(path)


def test_decisions_stay_and_exclude_each_other(cluster: Cluster) -> None:
    request = cluster.api.create(REQUESTS, csr(signerName="example.com/custom"))
    path = f"{REQUESTS}/{request['metadata']['name']}"
    cluster.api.patch(f"{path}/approval", {"status": {"conditions": [decide("Denied")]}})

    decided = cluster.api.get(path)["status"]["conditions"]
    for conditions in ([*decided, decide("Approved")], []):
        answer = cluster.api.request(
            "PATCH",
            f"{path}/approval",
            {"status": {"conditions": conditions}},
            {"Content-Type": "application/merge-patch+json"},
        )
        assert answer.status == 422, conditions
    cluster.api.delete(path)


def test_a_request_that_the_signer_cannot_fulfil_fails(cluster: Cluster) -> None:
    request = cluster.api.create(REQUESTS, csr(usages=["server auth"]))
    path = f"{REQUESTS}/{request['metadata']['name']}"
    cluster.api.patch(f"{path}/approval", {"status": {"conditions": [decide("Approved")]}})

    def failed() -> Manifest | None:
        found = {each["type"]: each for each in cluster.api.get(path)["status"]["conditions"]}
        return found.get("Failed")

    condition = wait_until(failed, "the condition Failed")
    assert condition["reason"] == "SignerValidationFailure"
    assert "certificate" not in cluster.api.get(path)["status"]
    cluster.api.delete(path)


def test_nobody_gets_a_certificate_of_the_masters(cluster: Cluster) -> None:
    with pytest.raises(ApiFailureError, match="system:masters group is not allowed") as refused:
        cluster.api.create(REQUESTS, csr("me", ("system:masters",)))
    assert refused.value.status == 403


def test_approving_and_signing_need_the_signer_as_well_as_the_subresource(cluster: Cluster) -> None:
    user = unique("approver")
    group = "certificates.k8s.io"
    grant(
        cluster,
        user,
        rule("get", "certificatesigningrequests", group),
        rule("update patch", "certificatesigningrequests/approval certificatesigningrequests/status", group),
        rule("approve", "signers", group, "example.com/*"),
        rule("sign", "signers", group, "example.com/one"),
    )
    someone = as_user(cluster, user)
    merge = {"Content-Type": "application/merge-patch+json"}

    def patch(name: str, subresource: str, status: Manifest) -> Answer:
        return cluster.api.request(
            "PATCH", f"{REQUESTS}/{name}/{subresource}", {"status": status}, {**someone.headers, **merge}
        )

    created = {
        signer: cluster.api.create(REQUESTS, csr(signerName=signer))["metadata"]["name"]
        for signer in ("example.com/one", "example.com/two", "example.org/one")
    }
    approved = {"conditions": [decide("Approved")]}
    wait_until(lambda: patch(created["example.com/one"], "approval", approved).status == 200, "the permission")
    assert patch(created["example.com/two"], "approval", approved).status == 200
    refused = patch(created["example.org/one"], "approval", approved)
    assert refused.status == 403
    assert 'user not permitted to approve requests with signerName "example.org/one"' in refused.body["message"]

    pem = CertificateAuthority("custom").pem
    signed = {"certificate": base64.b64encode(pem).decode()}
    assert patch(created["example.com/one"], "status", signed).status == 200
    refused = patch(created["example.com/two"], "status", signed)
    assert refused.status == 403
    assert 'user not permitted to sign requests with signerName "example.com/two"' in refused.body["message"]
    for name in created.values():
        cluster.api.delete(f"{REQUESTS}/{name}")


def test_the_main_resource_changes_neither_spec_nor_status(cluster: Cluster) -> None:
    created = cluster.api.create(REQUESTS, csr(signerName="example.com/custom"))
    path = f"{REQUESTS}/{created['metadata']['name']}"
    changed = {
        **created,
        "spec": {**created["spec"], "signerName": "example.com/other"},
        "status": {"conditions": [decide("Approved")]},
    }

    updated = cluster.api.replace(path, changed)

    assert updated["spec"]["signerName"] == "example.com/custom"
    assert updated["status"] == {}
    cluster.api.delete(path)


# --- roles -------------------------------------------------------------------------------------------------------


def test_permissions_end_with_the_objects_that_give_them(cluster: Cluster, namespace: str) -> None:
    user = unique("user")
    name = grant(cluster, user, rule("list", "configmaps"), namespace=namespace)
    someone = as_user(cluster, user)
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    wait_until(lambda: someone.request("GET", path).status == 200, "the permission")

    assert someone.request("GET", "/api/v1/namespaces/default/configmaps").status == 403
    assert someone.request("GET", f"{path}/x").status == 403
    cluster.api.delete(f"{RBAC}/namespaces/{namespace}/rolebindings/{name}")

    wait_until(lambda: someone.request("GET", path).status == 403, "the permission to end")


def test_a_missing_role_is_named_by_the_refusal(cluster: Cluster, namespace: str) -> None:
    user = unique("user")
    name = grant(cluster, user, rule("list", "configmaps"), namespace=namespace)
    cluster.api.delete(f"{RBAC}/namespaces/{namespace}/roles/{name}")
    someone = as_user(cluster, user)
    path = f"/api/v1/namespaces/{namespace}/configmaps"

    def named() -> bool:
        message = someone.request("GET", path).body.get("message", "")
        return f'RBAC: role.rbac.authorization.k8s.io "{name}" not found' in message

    wait_until(named, "the refusal to name the role")


def test_nobody_grants_what_he_does_not_hold(cluster: Cluster, namespace: str) -> None:
    user = unique("user")
    group = "rbac.authorization.k8s.io"
    grant(
        cluster,
        user,
        rule("get list", "configmaps"),
        rule("create update bind", "roles rolebindings", group),
        namespace=namespace,
    )
    someone = as_user(cluster, user)
    base = f"{RBAC}/namespaces/{namespace}"

    def role(name: str, *rules: Manifest) -> Answer:
        return someone.request("POST", f"{base}/roles", {"metadata": {"name": name}, "rules": list(rules)})

    wait_until(lambda: role(unique("held"), rule("get", "configmaps")).status == 201, "the permission")
    refused = role("more", rule("get delete", "configmaps"), rule("get", "secrets"))
    assert refused.status == 403
    assert refused.body["message"].endswith(
        "is attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["configmaps"], Verbs:["delete"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    )
    # ``bind`` on roles, so that any Role may be bound; but no ClusterRole.
    cluster.api.create(f"{base}/roles", {"metadata": {"name": "big"}, "rules": [rule("*", "*")]})
    subject = {"kind": "User", "name": "x"}

    def bind(kind: str, name: str) -> int:
        reference = {"kind": kind, "name": name}
        body = {"metadata": {"name": unique("b")}, "roleRef": reference, "subjects": [subject]}
        return someone.request("POST", f"{base}/rolebindings", body).status

    wait_until(lambda: bind("Role", "big") == 201, "the role to be known")
    assert bind("ClusterRole", "cluster-admin") == 403
    assert bind("Role", "missing") == 201


def test_roles_aggregate_and_follow_changes(cluster: Cluster) -> None:
    label = f"tests.example.com/{secrets.token_hex(4)}"
    whole, part = unique("whole"), unique("part")
    roles = f"{RBAC}/clusterroles"
    selectors = [{"matchLabels": {label: "true"}}]
    own = [rule("get", "pods")]
    cluster.api.create(
        roles, {"metadata": {"name": whole}, "aggregationRule": {"clusterRoleSelectors": selectors}, "rules": own}
    )
    metadata = {"name": part, "labels": {label: "true"}}
    cluster.api.create(roles, {"metadata": metadata, "rules": [rule("get", "secrets")]})

    def rules() -> Any:
        return cluster.api.get(f"{roles}/{whole}").get("rules")

    wait_until(lambda: rules() == [rule("get", "secrets")], "the rules of the part")
    cluster.api.patch(f"{roles}/{part}", {"rules": [rule("list", "secrets")]})
    wait_until(lambda: rules() == [rule("list", "secrets")], "the changed rules")
    cluster.api.patch(f"{roles}/{whole}", {"rules": own})
    wait_until(lambda: rules() == [rule("list", "secrets")], "the edit to be overwritten")
    cluster.api.delete(f"{roles}/{part}")
    wait_until(lambda: not rules(), "no rules")
    cluster.api.delete(f"{roles}/{whole}")


def test_only_who_may_everything_touches_roles_that_aggregate(cluster: Cluster) -> None:
    user, name = unique("user"), unique("whole")
    roles = f"{RBAC}/clusterroles"
    grant(cluster, user, rule("get list update patch create", "clusterroles", "rbac.authorization.k8s.io"))
    selectors = [{"matchLabels": {name: "true"}}]
    cluster.api.create(roles, {"metadata": {"name": name}, "aggregationRule": {"clusterRoleSelectors": selectors}})
    someone = as_user(cluster, user)
    merge = {"Content-Type": "application/merge-patch+json"}

    for patch in ({"metadata": {"labels": {"a": "b"}}}, {"aggregationRule": None}):

        def refused(patch: Manifest = patch) -> bool:
            message = someone.request("PATCH", f"{roles}/{name}", patch, **merge).body.get("message", "")
            return "must have cluster-admin privileges to use the aggregationRule" in message

        wait_until(refused, "the refusal")
    cluster.api.delete(f"{roles}/{name}")


def test_reviews_tell_who_may_what_and_why(cluster: Cluster, namespace: str) -> None:
    user = unique("user")
    name = grant(cluster, user, rule("get", "pods/log"), namespace=namespace)

    def review(**attributes: str) -> Manifest:
        spec = {"user": user, "resourceAttributes": {"namespace": namespace, **attributes}}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        status: Manifest = cluster.api.create(path, {"spec": spec})["status"]
        return status

    asked = {"verb": "get", "resource": "pods", "subresource": "log"}
    wait_until(lambda: review(**asked)["allowed"], "the permission")
    assert review(**asked)["reason"] == (
        f'RBAC: allowed by RoleBinding "{name}/{namespace}" of Role "{name}" to User "{user}"'
    )
    assert not review(verb="get", resource="pods")["allowed"]
    assert not review(verb="*", resource="pods", subresource="log")["allowed"]


def test_kubectl_asks_and_answers(cluster: Cluster, namespace: str) -> None:
    kubeconfig = cluster.service_account_kubeconfig(namespace, "default")

    assert f"system:serviceaccount:{namespace}:default" in cluster.kubectl("auth", "whoami", kubeconfig=kubeconfig)
    assert cluster.kubectl("auth", "can-i", "get", "secrets", kubeconfig=kubeconfig, check=False).strip() == "no"
    cluster.kubectl(
        "-n", namespace, "create", "rolebinding", "v", "--clusterrole=view", f"--serviceaccount={namespace}:default"
    )
    wait_until(
        lambda: (
            cluster.kubectl(
                "-n", namespace, "auth", "can-i", "get", "configmaps", kubeconfig=kubeconfig, check=False
            ).strip()
            == "yes"
        ),
        "the permission",
    )
    token = cluster.kubectl("-n", namespace, "create", "token", "default", "--duration=10m").strip()
    assert claims(token)["exp"] - claims(token)["iat"] == 600
