"""Which form an answer takes."""

import pytest

from merope.controlplane.errors import ApiError
from merope.controlplane.http.negotiation import Output, negotiate, patch_type

KUBECTL_TABLE = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)
TYPED_GO = "application/vnd.kubernetes.protobuf,application/json"
METADATA_GO = (
    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,"
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
)


@pytest.mark.parametrize(
    ("accept", "form", "expected"),
    [
        ("", "object", Output()),
        ("*/*", "list", Output()),
        ("application/json", "object", Output()),
        ("application/yaml", "object", Output(yaml=True)),
        ("application/yaml;q=0.5,application/json", "object", Output()),
        (TYPED_GO, "list", Output()),
        (KUBECTL_TABLE, "list", Output(kind="Table", version="v1")),
        (KUBECTL_TABLE, "watch", Output(kind="Table", version="v1")),
        (KUBECTL_TABLE, "plain", Output()),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", "object", Output(kind="Table", version="v1beta1")),
        (METADATA_GO, "list", Output(kind="PartialObjectMetadataList", version="v1")),
        (METADATA_GO, "object", Output()),
        ("application/json;stream=watch", "watch", Output()),
        ("text/html, application/json;q=0.1", "object", Output()),
    ],
)
def test_the_first_clause_that_can_be_served_wins(accept, form, expected):
    assert negotiate(accept, builtin=True, form=form) == expected


@pytest.mark.parametrize(
    ("accept", "form", "builtin", "text"),
    [
        (
            "text/html",
            "object",
            True,
            "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "
            "application/vnd.kubernetes.protobuf",
        ),
        (
            "text/html",
            "list",
            True,
            "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "
            "application/vnd.kubernetes.protobuf, application/json;stream=watch, "
            "application/vnd.kubernetes.protobuf;stream=watch",
        ),
        (
            "text/html",
            "object",
            False,
            "only the following media types are accepted: application/json, application/yaml, "
            "application/vnd.kubernetes.protobuf",
        ),
        (
            "application/json;as=Nothing;v=v1;g=meta.k8s.io",
            "object",
            True,
            "only the following media types are accepted: application/json, application/yaml, "
            "application/vnd.kubernetes.protobuf",
        ),
    ],
)
def test_what_cannot_be_served_is_not_acceptable(accept, form, builtin, text):
    with pytest.raises(ApiError) as caught:
        negotiate(accept, builtin=builtin, form=form)

    assert caught.value.code == 406
    assert caught.value.message == text


def test_asking_for_one_object_where_there_is_a_list_is_not_acceptable():
    with pytest.raises(ApiError, match=r"the requested object is a list \(\*core.ConfigMapList\)"):
        negotiate(
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            builtin=True,
            form="list",
            go_type="*core.ConfigMapList",
        )


def test_strategic_patches_are_for_built_in_kinds():
    strategic = "application/strategic-merge-patch+json"

    assert patch_type(strategic, builtin=True) == strategic
    with pytest.raises(ApiError, match="accepted media types include: application/json-patch") as caught:
        patch_type(strategic, builtin=False)
    assert caught.value.code == 415


@pytest.mark.parametrize("header", ["", "application/json", "text/plain", "application/apply-patch+cbor"])
def test_other_media_types_are_no_patches(header):
    with pytest.raises(ApiError) as caught:
        patch_type(header, builtin=True)

    assert (caught.value.code, caught.value.message) == (415, "415: Unsupported Media Type")
