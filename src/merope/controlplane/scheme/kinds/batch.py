"""Jobs and cron jobs: generated selectors, defaults that depend on each other, schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from merope.controlplane.errors import (
    NOT_SUPPORTED,
    FieldError,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from merope.controlplane.resource import Object, Request, Strategy
from merope.controlplane.scheme.kinds.base import (
    TracksGeneration,
    at,
    check_all_not_negative,
    check_enum,
    check_immutable,
    default_to,
    spec_of,
)
from merope.controlplane.scheme.kinds.cron import schedule_problem
from merope.controlplane.scheme.kinds.pod_spec import check_pod_spec, fill_pod_template
from merope.controlplane.scheme.kinds.workloads import check_template_labels
from merope.lang import names

if TYPE_CHECKING:
    from merope.controlplane.server import Server

_PREFIX: Final = "batch.kubernetes.io/"
_CONTROLLER_UID: Final = "controller-uid"
_JOB_NAME: Final = "job-name"
_MAX_INT32: Final = 2147483647
_COUNTS: Final = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_POLICIES: Final = ("OnFailure", "Never")
_NAME_LIMIT: Final = 52


def fill_job_spec(spec: Object) -> None:
    """The defaults of a job that is about to run."""
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
        spec["parallelism"] = 1
    default_to(
        spec,
        parallelism=1,
        # Where failures are counted for each index, the job as a whole has no limit.
        backoffLimit=6 if spec.get("backoffLimitPerIndex") is None else _MAX_INT32,
        completionMode="NonIndexed",
        suspend=False,
        manualSelector=False,
        podReplacementPolicy="TerminatingOrFailed" if spec.get("podFailurePolicy") is None else "Failed",
    )
    for rule in at(spec, "podFailurePolicy", "rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            default_to(pattern, status="True")


def check_job_spec(spec: Object, path: str) -> list[FieldError]:
    """Complaints about a job's spec, selector excluded."""
    complaints = check_all_not_negative(path, spec, *_COUNTS)
    complaints += check_enum(
        f"{path}.completionMode", spec.get("completionMode"), ("Indexed", "NonIndexed"), optional=True
    )
    if spec.get("completionMode") == "Indexed" and spec.get("completions") is None:
        complaints.append(required(f"{path}.completions", "when completion mode is Indexed"))
    template = spec.get("template") or {}
    pod = template.get("spec") or {}
    place = f"{path}.template.spec"
    policy = pod.get("restartPolicy")
    complaints += [error for error in check_pod_spec(pod, place) if error.field != f"{place}.restartPolicy"]
    if not policy or policy == "Always":
        complaints.append(required(f"{place}.restartPolicy", 'valid values: "OnFailure", "Never"'))
    elif policy not in _POLICIES:
        complaints.append(not_supported(f"{place}.restartPolicy", policy, _POLICIES))
    return complaints


class JobStrategy(TracksGeneration):
    """A job finds its pods by labels that the server generates."""

    def fill(self, obj: Object) -> None:
        spec = spec_of(obj)
        fill_pod_template(spec.setdefault("template", {}))
        fill_job_spec(spec)
        self._fill_labels(obj)

    @staticmethod
    def _fill_labels(obj: Object) -> None:
        labels = at(obj, "spec", "template", "metadata", "labels")
        if labels and not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)

    def prepare_create(self, server: Server, request: Request, obj: Object) -> None:
        super().prepare_create(server, request, obj)
        spec = spec_of(obj)
        if spec.get("manualSelector"):
            return
        metadata = obj["metadata"]
        template = spec.setdefault("template", {}).setdefault("metadata", {})
        labels = template.get("labels")
        if labels is None:
            labels = template["labels"] = {}
        for prefix in ("", _PREFIX):
            labels[prefix + _CONTROLLER_UID] = metadata["uid"]
            labels[prefix + _JOB_NAME] = metadata.get("name", "")
        selector = spec.get("selector")
        if selector is None:
            selector = spec["selector"] = {}
        selector.setdefault("matchLabels", {})[_PREFIX + _CONTROLLER_UID] = metadata["uid"]
        self._fill_labels(obj)

    def check(self, obj: Object) -> list[FieldError]:
        spec = spec_of(obj)
        return [*check_job_spec(spec, "spec"), *self._check_selector(obj, spec)]

    @staticmethod
    def _check_selector(obj: Object, spec: Object) -> list[FieldError]:
        selector = spec.get("selector")
        if selector is None:
            return [required("spec.selector")]
        complaints = []
        if not spec.get("manualSelector"):
            uid = obj["metadata"].get("uid")
            generated = ({_PREFIX + _CONTROLLER_UID: uid}, {_CONTROLLER_UID: uid})
            if selector.get("matchLabels") not in generated or selector.get("matchExpressions"):
                complaints.append(invalid_value("spec.selector", selector, "`selector` not auto-generated"))
        return complaints + check_template_labels(spec, selector)

    def check_update(self, obj: Object, old: Object) -> list[FieldError]:
        new, before = spec_of(obj), spec_of(old)
        complaints = []
        if not _elastic(new, before):
            complaints += check_immutable("spec.completions", new.get("completions"), before.get("completions"))
        complaints += check_immutable("spec.selector", new.get("selector"), before.get("selector"))
        if not _may_change_template(old):
            complaints += check_immutable("spec.template", new.get("template"), before.get("template"))
        for key in (
            "completionMode",
            "podFailurePolicy",
            "backoffLimitPerIndex",
            "managedBy",
            "successPolicy",
        ):
            complaints += check_immutable(f"spec.{key}", new.get(key), before.get(key))
        return complaints


def _elastic(new: Object, old: Object) -> bool:
    """Indexed jobs may change how often they complete together with how many run at once."""
    return bool(old.get("completionMode") == "Indexed" and new.get("completions") == new.get("parallelism"))


def _may_change_template(old: Object) -> bool:
    """Scheduling may be directed while a job is suspended and has not begun."""
    return bool(at(old, "spec", "suspend")) and not at(old, "status", "startTime")


class CronJobStrategy(TracksGeneration):
    def fill(self, obj: Object) -> None:
        spec = spec_of(obj)
        default_to(
            spec,
            concurrencyPolicy="Allow",
            suspend=False,
            successfulJobsHistoryLimit=3,
            failedJobsHistoryLimit=1,
        )
        job = spec.setdefault("jobTemplate", {}).setdefault("spec", {})
        fill_pod_template(job.setdefault("template", {}))

    def check(self, obj: Object) -> list[FieldError]:
        spec = spec_of(obj)
        complaints: list[FieldError] = []
        schedule: Any = spec.get("schedule")
        if not schedule:
            complaints.append(required("spec.schedule"))
        elif problem := schedule_problem(schedule):
            complaints.append(invalid_value("spec.schedule", schedule, problem))
        complaints += check_all_not_negative(
            "spec", spec, "startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"
        )
        complaints += check_enum(
            "spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace")
        )
        job = at(spec, "jobTemplate", "spec") or {}
        complaints += check_job_spec(job, "spec.jobTemplate.spec")
        if job.get("manualSelector"):
            complaints.append(
                FieldError(
                    "spec.jobTemplate.spec.manualSelector", NOT_SUPPORTED, True, 'supported values: "nil", "false"'
                )
            )
        return complaints

    def validate(self, server: Server, request: Request, obj: Object, old: Object | None) -> list[FieldError]:
        complaints = super().validate(server, request, obj, old)
        name = obj["metadata"].get("name", "")
        if old is None and len(name) > _NAME_LIMIT and not names.is_dns1123_subdomain(name):
            detail = f"must be no more than {_NAME_LIMIT} characters"
            complaints.append(invalid_value("metadata.name", name, detail))
        if old is None and "TZ" in (spec_of(obj).get("schedule") or ""):
            detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            complaints.append(forbidden_field("spec.schedule", detail))
        return complaints


STRATEGIES: Final[dict[tuple[str, str], Strategy]] = {
    ("batch", "Job"): JobStrategy(),
    ("batch", "CronJob"): CronJobStrategy(),
}
