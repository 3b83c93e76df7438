"""What the wire adds to the API: TLS, connections, streams, limits."""

import http.client
import json
import socket
import ssl
from urllib.parse import urlsplit

import pytest

from fixtures.cluster import Cluster


def connect(cluster: Cluster, context: ssl.SSLContext | None = None) -> http.client.HTTPSConnection:
    parts = urlsplit(cluster.url)
    assert parts.hostname is not None
    return http.client.HTTPSConnection(
        parts.hostname, parts.port, context=context or ssl.create_default_context(cafile=cluster.ca_file), timeout=20
    )


def bearer(cluster: Cluster) -> dict[str, str]:
    return {"Authorization": f"Bearer {cluster.admin_token}"}


def test_a_client_without_a_certificate_is_anonymous_and_may_ask_for_health(cluster):
    connection = connect(cluster)

    connection.request("GET", "/readyz")
    healthy = connection.getresponse()
    assert (healthy.status, healthy.read()) == (200, b"ok")
    connection.request("GET", "/api/v1/namespaces")
    refused = connection.getresponse()
    status = json.loads(refused.read())

    assert refused.status == 403
    assert 'User "system:anonymous" cannot list' in status["message"]


def test_one_connection_serves_many_requests(cluster, namespace):
    connection = connect(cluster)
    connection.connect()
    local = connection.sock.getsockname()

    for _ in range(5):
        connection.request("GET", f"/api/v1/namespaces/{namespace}", headers=bearer(cluster))
        response = connection.getresponse()
        response.read()
        assert response.status == 200

    assert connection.sock.getsockname() == local


def test_a_watch_sends_its_headers_at_once_and_its_events_as_they_come(cluster, namespace):
    connection = connect(cluster)
    path = f"/api/v1/namespaces/{namespace}/secrets"

    connection.request("GET", f"{path}?watch=1&labelSelector=seen", headers=bearer(cluster))
    response = connection.getresponse()
    assert response.status == 200
    assert response.getheader("Transfer-Encoding") == "chunked"
    cluster.api.create(path, {"metadata": {"name": "s", "labels": {"seen": "yes"}}})
    added = json.loads(response.readline())
    cluster.api.delete(f"{path}/s")
    deleted = json.loads(response.readline())

    assert [added["type"], deleted["type"]] == ["ADDED", "DELETED"]
    assert int(deleted["object"]["metadata"]["resourceVersion"]) > int(added["object"]["metadata"]["resourceVersion"])


def test_a_watch_ends_cleanly_at_its_time_and_leaves_the_connection_usable(cluster, namespace):
    connection = connect(cluster)

    connection.request("GET", f"/api/v1/namespaces/{namespace}/pods?watch=1&timeoutSeconds=1", headers=bearer(cluster))
    assert connection.getresponse().read() == b""
    connection.request("GET", "/readyz")

    assert connection.getresponse().read() == b"ok"


def test_a_body_beyond_the_limit_is_refused(cluster, namespace):
    connection = connect(cluster)
    body = b'{"metadata":{"name":"a"},"data":{"k":"' + b"x" * (4 * 1024 * 1024) + b'"}}'

    try:
        connection.request("POST", f"/api/v1/namespaces/{namespace}/configmaps", body, bearer(cluster))
    except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
        # The server had heard enough; its answer is there all the same.
        pass
    response = connection.getresponse()

    assert response.status == 413
    assert json.loads(response.read())["message"] == "Request entity too large: limit is 3145728"


@pytest.mark.parametrize("minimum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_modern_tls_is_spoken(cluster, minimum):
    context = ssl.create_default_context(cafile=cluster.ca_file)
    context.minimum_version = minimum

    connection = connect(cluster, context)
    connection.request("GET", "/livez")

    assert connection.getresponse().read() == b"ok"


def test_a_broken_handshake_disturbs_nobody(cluster):
    connection = connect(cluster)
    connection.request("GET", "/livez")
    connection.getresponse().read()
    parts = urlsplit(cluster.url)

    with socket.create_connection((parts.hostname, parts.port), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        plain.settimeout(10)
        assert not plain.recv(1024).startswith(b"HTTP/1.1 200")
    connection.request("GET", "/livez")

    assert connection.getresponse().read() == b"ok"


@pytest.mark.embedded_only
def test_a_long_list_arrives_whole(cluster, namespace):
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for index in range(30):
        cluster.api.create(path, {"metadata": {"name": f"n{index:02}"}, "data": {"k": "v" * 40_000}})

    items = cluster.api.items(path)

    assert len([item for item in items if item["metadata"]["name"].startswith("n")]) == 30


def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(cluster, namespace):
    connection = connect(cluster)
    body = b'{"metadata":{"name":"asked"}}'
    connection.putrequest("POST", f"/api/v1/namespaces/{namespace}/configmaps")
    for name, value in {**bearer(cluster), "Content-Length": str(len(body)), "Expect": "100-continue"}.items():
        connection.putheader(name, value)
    connection.endheaders()

    interim = connection.sock.recv(1024)
    connection.send(body)

    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert connection.getresponse().status == 201
