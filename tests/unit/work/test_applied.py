"""Names, owners and the record of applied objects."""

from __future__ import annotations

from merope.work.applied import (
    applied_resource,
    applied_work_name,
    hub_hash,
    merge_owner,
    owner_reference,
    ownership,
    sorted_resources,
    untracked,
    without_owner,
    work_name,
)


def test_names_follow_from_the_hubs_address() -> None:
    # The hub of the recorded scenario 07.
    digest = "ed2dd3f2fe41e8008f1e7f03ba366db3e300f603fb5f76b5a9e3e39a8d8a0184"

    assert hub_hash("https://127.0.0.1:26443") == digest
    assert applied_work_name(digest, "w1") == f"{digest}-w1"
    assert work_name(digest, f"{digest}-w-1") == "w-1"
    assert work_name(digest, "other-w") == ""


def test_owners_are_told_by_name_kind_and_group() -> None:
    ours = owner_reference("w", "new")
    theirs = {"apiVersion": "v1", "kind": "AppliedManifestWork", "name": "w", "uid": "x"}

    assert merge_owner(None, ours) == [ours]
    assert merge_owner([theirs, {**ours, "uid": "old"}], ours) == [theirs, ours]
    assert merge_owner([theirs, ours], owner_reference("w", "new", owned=False)) == [theirs]
    assert merge_owner([theirs], owner_reference("w", "new", owned=False)) == [theirs]
    assert without_owner([theirs, ours], "new") == [theirs]


def test_an_object_is_shared_by_works_only() -> None:
    ours, others = owner_reference("w", "1"), owner_reference("v", "2")

    assert ownership([ours], "1") == (True, False)
    assert ownership([ours, others], "1") == (True, True)
    assert ownership([others], "1") == (False, True)
    assert ownership([ours, {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p"}], "1") == (True, False)
    assert ownership(None, "1") == (False, False)


def test_the_record_tells_what_is_no_longer_named_whatever_its_version_and_uid() -> None:
    old = [
        applied_resource("apps", "v1beta1", "deployments", "n", "d", "1"),
        applied_resource("", "v1", "configmaps", "n", "c", "2"),
    ]
    new = [applied_resource("apps", "v1", "deployments", "n", "d", "3")]

    assert untracked(old, new) == [old[1]]
    assert sorted_resources([*new, old[1]]) == [old[1], *new]
