"""Which form an answer takes (Accept) and which form a body has (Content-Type)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from merope.controlplane.errors import ApiError, not_acceptable, unsupported_media_type

JSON: Final = "application/json"
YAML: Final = "application/yaml"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"

_ACCEPTED: Final = f"{JSON}, {YAML}, {PROTOBUF}"
_META_VERSIONS: Final = ("v1", "v1beta1")
_FORMS: Final = frozenset({"PartialObjectMetadata", "PartialObjectMetadataList"})


@dataclass(frozen=True, slots=True)
class Clause:
    """One media range of an Accept header."""

    media: str
    params: dict[str, str]


@dataclass(frozen=True, slots=True)
class Output:
    """The form of an answer: ``kind`` is empty for the object itself, else the meta.k8s.io kind asked for.

    ``pretty`` asks for JSON that people can read.
    """

    yaml: bool = False
    kind: str = ""
    version: str = "v1"
    pretty: bool = False

    @property
    def media(self) -> str:
        return YAML if self.yaml else JSON

    @property
    def api_version(self) -> str:
        return f"meta.k8s.io/{self.version}"


PLAIN: Final = Output()


@lru_cache(maxsize=512)
def clauses(accept: str) -> tuple[Clause, ...]:
    """The clauses of an Accept header, best first (by ``q``, then position)."""
    ranked: list[tuple[float, int, Clause]] = []
    for position, text in enumerate(accept.split(",")):
        media, *rest = (part.strip() for part in text.split(";"))
        if not media:
            continue
        params: dict[str, str] = {}
        for part in rest:
            key, _, value = part.partition("=")
            params[key.strip().lower()] = value.strip().strip('"')
        try:
            quality = float(params.pop("q", "1"))
        except ValueError:
            quality = 0.0
        ranked.append((-quality, position, Clause(media.lower(), params)))
    ranked.sort(key=lambda item: item[:2])
    return tuple(clause for _, _, clause in ranked)


@lru_cache(maxsize=1024)
def negotiate(accept: str, *, builtin: bool, form: str, go_type: str = "") -> Output:
    """The first form in ``accept`` that can be served; 406 where none can.

    ``form`` is ``object`` (get and writes), ``list``, ``watch``, or ``plain`` where tables and metadata are not
    offered. ``go_type`` names the answer's type as complaints show it.
    """
    if not accept.strip():
        return PLAIN
    known_media = False
    misfit = ""
    for clause in clauses(accept):
        media = clause.media
        known_media = known_media or media in (JSON, YAML, PROTOBUF, "*/*")
        if media in (JSON, "*/*") or (media == "application/*" and not builtin):
            yaml = False
        elif media == YAML and form != "watch":
            yaml = True
        else:
            continue
        kind = clause.params.get("as", "")
        if not kind:
            if clause.params.get("g") or clause.params.get("v"):
                continue
            return Output(yaml)
        version = clause.params.get("v", "")
        if form == "plain" or clause.params.get("g") != "meta.k8s.io" or version not in _META_VERSIONS:
            continue
        if not _form_fits(kind, form):
            if kind in _FORMS:
                misfit = kind
            continue
        return Output(yaml, kind, version)
    if misfit:
        what = "a list" if form == "list" else "not a list"
        raise not_acceptable(f"you requested {misfit}, but the requested object is {what} ({go_type})")
    if builtin and not known_media:
        offered = _ACCEPTED
        if form in ("list", "watch"):
            offered += f", {JSON};stream=watch, {PROTOBUF};stream=watch"
        raise not_acceptable(f"406: Not Acceptable\n\nAvailable representations: {offered}", {})
    raise not_acceptable(f"only the following media types are accepted: {_ACCEPTED}")


def _form_fits(kind: str, form: str) -> bool:
    if kind == "Table":
        return True
    if kind == "PartialObjectMetadata":
        return form in ("object", "watch")
    return kind == "PartialObjectMetadataList" and form == "list"


def content_type(header: str) -> str:
    """The media type of a Content-Type header without its parameters; JSON where it is missing."""
    return header.partition(";")[0].strip().lower() or JSON


def unknown_format(accepted: str = _ACCEPTED) -> ApiError:
    """415 with the media types that would have been accepted."""
    return unsupported_media_type(
        f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    )


def patch_type(header: str, *, builtin: bool) -> str:
    """The media type of a patch, or 415."""
    media = content_type(header)
    if media in (JSON_PATCH, MERGE_PATCH, APPLY_PATCH) or (builtin and media == STRATEGIC_PATCH):
        return media
    if builtin:
        raise unsupported_media_type("415: Unsupported Media Type", {})
    raise unknown_format(f"{JSON_PATCH}, {MERGE_PATCH}, {APPLY_PATCH}")
