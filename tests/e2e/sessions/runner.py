"""Runs a session of kubectl commands and writes down what they print, without what differs from run to run."""

import base64
import re
import secrets
import shlex
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from fixtures import kubectl
from fixtures.certificates import signing_request
from fixtures.cluster import Cluster

from .commands import MANIFESTS, SESSIONS

RECORDED = Path(__file__).parent / "recorded"
EDITOR = """#!/bin/sh
sed -i -e 's/color: .*/color: red/' "$1"
"""

# In this order. Tables are as wide as their content, so runs of spaces that are no indentation become two.
_COMPARABLE: list[tuple[re.Pattern[str], str]] = [
    (re.compile(pattern, re.MULTILINE), replacement)
    for pattern, replacement in (
        (r"https://127\.0\.0\.1:\d+", "${server}"),
        (r"127\.0\.0\.1:\d+", "${address}"),
        (r"\x1b\[[\d;]*m", ""),
        (r"^([EWI])\d{4} [\d:.]+ +\d+ \S+\]", r"\1 log]"),
        # how long watches lasted, and how they ended
        (r'^(I log\]|[EW] log\] "(Failed to watch|Warning: watch ended)).*\n', ""),
        (r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "<token>"),
        (r"LS0tLS1[\w+/=]+", "<pem>"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>"),
        (r'((?:\\?"?resourceVersion\\?"?|Resource Version): *)\\?"?\d+\\?"?', r"\1<rv>"),
        (r'^\{("apiVersion":"[^"]*"),("kind":"[^"]*")', r"{\2,\1"),  # raw bodies: JSON has no order
        (r"20(?!26-01-01T)\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| \+\d{4})", "<time>"),
        (r"\w{3}, \d\d \w{3} 20\d\d \d\d:\d\d:\d\d \+\d{4}", "<time>"),
        (r"kube-api-access-\w{5}", "kube-api-access-<suffix>"),
        (r"\S*/(LIVE|MERGED)-\d+", r"\1"),
        (r"\S*/kubectl-edit-\d+\.yaml", "<edited file>"),
        (r"\S*/tmp/\S+/(\w[\w-]*\.yaml)", r"\1"),
        (r"(?<=\S) {2,}", "  "),
        (r"(?<=  )(\d+[dhms]){1,2}(?=\s|$)", "<age>"),
        (r"(?<=  )<invalid>(?=\s|$)", "<age>"),
        (r"\d{2,}d|\d+y\d+d", "<long>"),
        (r" +$", ""),
    )
]


def comparable(text: str, namespace: str, number: str) -> str:
    text = text.replace(namespace, "${ns}").replace(number, "${n}")
    for pattern, replacement in _COMPARABLE:
        text = pattern.sub(replacement, text)
    # causes of an invalid object have no order
    return re.sub(r"(^\* .*\n)+", lambda found: "".join(sorted(found[0].splitlines(keepends=True))), text, flags=re.M)


def play(cluster: Cluster, tools: kubectl.Tools, session: str) -> str:
    """Run a session in a namespace of its own; returns the commands, and after each what it printed.

    Lines of standard error begin with ``! ``; the exit code follows unless it is 0.
    """
    number = secrets.token_hex(3)
    namespace = f"kc-{number}"
    cluster.create_namespace(namespace)
    directory = cluster.directory / f"session-{namespace}"
    directory.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    values = {
        "${ns}": namespace,
        "${n}": number,
        "${csr}": base64.b64encode(signing_request(key, "alice", ["people"])).decode(),
    }
    for name, manifest in MANIFESTS.items():
        (directory / name).write_text(_filled(manifest, values))
    editor = directory / "editor"
    editor.write_text(EDITOR)
    editor.chmod(0o755)
    kubeconfig = directory / "kubeconfig"
    context = cluster.admin_kubeconfig.read_text()
    kubeconfig.write_text(context.replace('"user": "user"}', f'"user": "user", "namespace": "{namespace}"}}'))

    lines = []
    for step in SESSIONS[session]:
        command, _, stdin = step.partition(" <")
        process = kubectl.run(
            shlex.split(_filled(command, values)),
            kubeconfig,
            stdin=(directory / stdin).read_text() if stdin else None,
            check=False,
            tools=tools,
            directory=directory,
            environment={"KUBE_EDITOR": str(editor)},
        )
        lines.append(f"$ kubectl {step}\n")
        errors = comparable(process.stderr, namespace, number).splitlines()
        output = comparable(process.stdout, namespace, number) + "".join(f"! {line}\n" for line in errors)
        lines.append(output if output.endswith("\n") or not output else f"{output}\n")
        if process.returncode:
            lines.append(f"[exit code {process.returncode}]\n")
    cluster.api.delete(f"/api/v1/namespaces/{namespace}")
    return "".join(lines)


def _filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(name, value)
    return text
