"""What a real API server answered to some 400 sequences of requests, replayed against the embedded control plane.

The records are not part of this repository: they lie beside it, and the test is skipped where they are not. Differences
that are meant are in ``golden-accepted.txt``, each with its reason.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.cluster import Cluster

SHARED = Path(__file__).resolve().parents[4] / "shared"
REPLAY = SHARED / "tools" / "golden"
RECORDS = sorted((SHARED / "reference" / "golden").glob("*.jsonl"))
ACCEPTED = Path(__file__).with_name("golden-accepted.txt")

pytestmark = [
    pytest.mark.embedded_only,
    pytest.mark.skipif(not (REPLAY.is_file() and RECORDS), reason="golden records: no ../shared beside the repository"),
]


def test_answers_are_those_of_a_real_server(cluster: Cluster) -> None:
    command = [
        *(sys.executable, str(REPLAY), "replay", *map(str, RECORDS)),
        *("--server", cluster.url, "--token", cluster.admin_token, "--ca", str(cluster.ca_file)),
        *("--accept", str(ACCEPTED), "--jobs", "2"),
    ]

    result = subprocess.run(command, capture_output=True, text=True, timeout=300)

    assert result.returncode == 0, result.stdout[-20000:] + result.stderr
