"""What all objects share."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from msgspec import UNSET

from merope.api.certificates.v1 import CertificateSigningRequest
from merope.api.core.v1 import Namespace
from merope.api.meta import times
from merope.api.meta.v1 import Condition, ObjectMeta, decode
from merope.api.rbac.v1 import ClusterRole
from merope.api.work.v1 import AppliedManifestWork, ManifestWork


def test_absent_null_and_zero_are_three_things() -> None:
    meta = msgspec.convert({"generation": 0, "creationTimestamp": None}, ObjectMeta)
    assert (meta.generation, meta.creation_timestamp, meta.name) == (0, None, UNSET)
    assert msgspec.to_builtins(meta) == {"generation": 0, "creationTimestamp": None}


def test_unknown_fields_and_broken_constraints_can_be_read() -> None:
    condition = msgspec.convert(
        {"type": "!", "status": "Maybe", "reason": "", "message": "", "lastTransitionTime": "", "more": 1}, Condition
    )
    assert condition.status == "Maybe"


def test_what_does_not_fit_names_its_path() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\.metadata\.name"):
        decode(Namespace, b'{"metadata": {"name": 1}}')


def test_values_cannot_be_changed_in_place() -> None:
    with pytest.raises(AttributeError):
        ObjectMeta(name="a").name = "b"  # type: ignore[misc]


def test_names_that_are_not_camel_case_are_kept_as_the_api_has_them() -> None:
    applied = decode(
        AppliedManifestWork,
        {"metadata": {"name": "x"}, "spec": {"hubHash": "h", "agentID": "a", "manifestWorkName": "w"}},
    )
    assert applied.spec
    assert applied.spec.agent_id == "a"


def test_explicit_nulls_of_go_programs_can_be_read() -> None:
    assert decode(ClusterRole, {"metadata": {"name": "x", "creationTimestamp": None}, "rules": None}).rules is None


def test_an_object_answers_for_its_metadata_without_asking_whether_it_is_there() -> None:
    namespace = decode(Namespace, {"metadata": {"name": "x", "deletionTimestamp": "2026-01-01T00:00:00Z"}})
    assert (namespace.name, namespace.namespace, namespace.uid, namespace.generation) == ("x", "", "", 0)
    assert (namespace.labels, namespace.annotations, namespace.finalizers) == ({}, {}, [])
    assert namespace.deleting
    assert not decode(Namespace, {}).deleting


def test_manifests_stay_what_they_are() -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": None}, "x": [0, False, ""]}
    work = decode(ManifestWork, {"metadata": {}, "spec": {"workload": {"manifests": [manifest]}}})
    assert work.spec
    assert work.spec.workload
    assert work.spec.workload.manifests == [manifest]


def test_a_required_field_must_be_there() -> None:
    with pytest.raises(msgspec.ValidationError, match="signerName"):
        decode(CertificateSigningRequest, {"spec": {"request": ""}})


def test_times_are_written_in_utc_and_read_with_any_offset() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=2)))
    assert times.format_time(moment) == "2026-01-02T01:04:05Z"
    assert times.format_micro_time(moment) == "2026-01-02T01:04:05.678901Z"
    assert times.parse_time("2026-01-02T03:04:05.678901+02:00") == moment
    assert times.parse_time("2026-01-02T01:04:05Z") == datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "2026-01-02", "2026-01-02T01:04:05", "soon"])
def test_a_time_without_an_offset_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        times.parse_time(text)
