"""Options in queries and in DeleteOptions bodies."""

import pytest

from merope.controlplane.errors import ApiError
from merope.controlplane.http.options import (
    DeleteOptions,
    default_manager,
    delete_options,
    list_options,
    write_options,
)


def test_write_options_have_defaults():
    options = write_options({}, "kubectl/v1.33.0 (linux/amd64)", "CreateOptions")

    assert (options.field_manager, options.explicit_manager) == ("kubectl", False)
    assert options.field_validation == "Warn"
    assert not options.dry_run


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        ("kubectl/v1", "kubectl"),
        ("", "unknown"),
        ("a" * 200, "a" * 128),
        ("pro\x01gram/1", "program"),
        ("/x", "unknown"),
    ],
)
def test_a_client_that_names_no_manager_is_known_by_its_program(agent, expected):
    assert default_manager(agent) == expected


@pytest.mark.parametrize(
    ("query", "kind", "message"),
    [
        (
            {"dryRun": "Some"},
            "CreateOptions",
            'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"',
        ),
        (
            {"fieldManager": "a" * 129},
            "UpdateOptions",
            'UpdateOptions.meta.k8s.io "" is invalid: fieldManager: Too long: may not be more than 128 bytes',
        ),
        (
            {"force": "true"},
            "PatchOptions",
            'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch',
        ),
        (
            {"fieldValidation": "Perhaps"},
            "CreateOptions",
            'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Perhaps": '
            'supported values: "", "Ignore", "Strict", "Warn"',
        ),
    ],
)
def test_wrong_write_options_are_invalid(query, kind, message):
    with pytest.raises(ApiError) as caught:
        write_options(query, "x", kind)

    assert (caught.value.code, caught.value.message) == (422, message)


def test_an_apply_needs_a_manager_and_may_force():
    with pytest.raises(ApiError, match="fieldManager: Required value: is required for apply patch"):
        write_options({}, "x", "PatchOptions", apply=True)

    assert write_options({"fieldManager": "m", "force": "true"}, "x", "PatchOptions", apply=True).force is True


def test_the_body_of_a_delete_counts_before_its_query():
    body = {
        "gracePeriodSeconds": 5,
        "propagationPolicy": "Foreground",
        "preconditions": {"uid": "u", "resourceVersion": "7"},
        "dryRun": ["All"],
    }

    assert delete_options({"propagationPolicy": "Orphan"}, body) == DeleteOptions(5, "Foreground", None, "u", "7", True)
    assert delete_options({"propagationPolicy": "Orphan", "gracePeriodSeconds": "0"}, None) == DeleteOptions(
        0, "Orphan"
    )


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({"propagationPolicy": "Orphan", "orphanDependents": True}, "cannot be both set"),
        ({"propagationPolicy": "Perhaps"}, 'supported values: "Foreground", "Background", "Orphan", "nil"'),
        ({"dryRun": ["Some"]}, 'dryRun: Unsupported value: ["Some"]'),
        ({"dryRun": [["All"]]}, "dryRun: Unsupported value"),
        ({"gracePeriodSeconds": 2**62}, "gracePeriodSeconds: Invalid value: 4611686018427387904: must be at most"),
    ],
)
def test_wrong_delete_options_are_invalid(body, part):
    with pytest.raises(ApiError) as caught:
        delete_options({}, body)

    assert caught.value.code == 422
    assert part in caught.value.message


@pytest.mark.parametrize(
    ("query", "code", "part"),
    [
        ({"resourceVersionMatch": "Exact"}, 422, "forbidden unless resourceVersion is provided"),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "0"}, 422, 'forbidden for resourceVersion "0"'),
        ({"resourceVersionMatch": "Perhaps", "resourceVersion": "5"}, 422, "Unsupported value"),
        ({"sendInitialEvents": "true"}, 422, "sendInitialEvents is forbidden for list"),
        ({"continue": "x", "resourceVersion": "5"}, 400, "not allowed when using continue"),
        ({"resourceVersion": "abc"}, 400, "invalid resource version"),
        ({"resourceVersion": "-1"}, 400, "invalid resource version"),
        ({"resourceVersion": str(2**64)}, 400, "value out of range"),
        ({"resourceVersion": "9" * 5_000}, 400, "value out of range"),
        ({"limit": "9" * 5_000}, 400, "limit must be an integer"),
    ],
)
def test_wrong_list_options_are_refused(query, code, part):
    with pytest.raises(ApiError) as caught:
        list_options(query, watch=False)

    assert caught.value.code == code
    assert part in caught.value.message


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ({"sendInitialEvents": "true"}, "requires setting resourceVersionMatch"),
        ({"sendInitialEvents": "true", "resourceVersionMatch": "Exact"}, "Unsupported value"),
        ({"resourceVersionMatch": "NotOlderThan"}, "forbidden for watch unless sendInitialEvents"),
    ],
)
def test_wrong_watch_options_are_refused_before_the_stream(query, part):
    with pytest.raises(ApiError) as caught:
        list_options(query, watch=True)

    assert caught.value.code == 422
    assert part in caught.value.message


def test_a_continued_list_may_say_version_zero():
    options = list_options({"continue": "x", "resourceVersion": "0", "limit": "5"}, watch=False)

    assert (options.version, options.limit, options.continue_token) == (0, 5, "x")
