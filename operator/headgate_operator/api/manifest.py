"""An object as the API server or a file gives it, parsed: a `Manifest`, or a `BrokenManifest` that says what
is wrong.

The operator parses what it watches, `headgate validate` and `headgate up` what they read from files. User
mistakes are values: nothing here raises for them, whatever the object looks like.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from re import fullmatch
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from headgate_operator.api.fields import FORMS, ITEM_NAME, OBJECT_NAME
from headgate_operator.api.kinds import API_VERSION, KINDS
from headgate_operator.api.model import ApiModel
from headgate_operator.api.outline import find_repetitions, find_unknown_fields, unknown_field
from headgate_operator.api.plain import TooDeep, to_plain
from headgate_operator.api.problems import FieldProblem as FieldProblem  # others know it from here
from headgate_operator.api.problems import did_you_mean, expected_spec, teach_errors
from headgate_operator.api.provider import LLMProviderSpec
from headgate_operator.api.quota import TenantQuotaSpec
from headgate_operator.api.route import ModelRouteSpec

Spec = TypeVar("Spec", bound=ApiModel, covariant=True)

_OBJECT_FIELDS: Final = ("apiVersion", "kind", "metadata", "spec", "status")
_METADATA_FIELDS: Final = (
    *("annotations", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers"),
    *("generateName", "generation", "labels", "managedFields", "name", "namespace", "ownerReferences"),
    *("resourceVersion", "selfLink", "uid"),
)
"""Kubernetes' ObjectMeta."""


@dataclass(frozen=True, slots=True, order=True)
class Meta:
    """Order is precedence: the older object wins a conflict, then the smaller namespace and name."""

    created: str
    """RFC 3339, as the API server writes it; files that know no time give the same text for all."""
    namespace: str
    name: str
    """Empty when the object has none."""
    kind: str
    uid: str
    generation: int

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.name}"

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Manifest(Generic[Spec]):
    meta: Meta
    spec: Spec


@dataclass(frozen=True, slots=True)
class BrokenManifest:
    meta: Meta
    problems: tuple[FieldProblem, ...]
    """At least one."""


ProviderManifest = Manifest[LLMProviderSpec]
RouteManifest = Manifest[ModelRouteSpec]
QuotaManifest = Manifest[TenantQuotaSpec]


def parse_meta(raw: Mapping[str, Any]) -> Meta:
    """Takes what is there: a name or kind that is missing or no text is empty; `parse_manifest` says so."""
    metadata = _mapping(raw.get("metadata"))
    generation = metadata.get("generation")
    return Meta(
        created=str(metadata.get("creationTimestamp") or ""),
        namespace=_text(metadata.get("namespace")) or "default",
        name=_text(metadata.get("name")),
        kind=_text(raw.get("kind")),
        uid=_text(metadata.get("uid")),
        generation=generation if isinstance(generation, int) else 0,
    )


def parse_manifest(
    raw: Mapping[str, Any], *, refuse_unknown_fields: bool = False
) -> Manifest[ApiModel] | BrokenManifest:
    """`refuse_unknown_fields` is for files, where a typo must not pass; the API server prunes or refuses them
    itself.
    """
    meta = parse_meta(raw)
    problems = list(_judge_frame(raw, meta, refuse_unknown_fields))
    if meta.kind not in KINDS:
        return BrokenManifest(meta, tuple(problems))
    parsed, found = _parse_spec(meta.kind, raw.get("spec"), refuse_unknown_fields)
    problems.extend(found)
    return (
        Manifest(meta, parsed)
        if parsed is not None and not problems
        else BrokenManifest(meta, tuple(problems))
    )


def _judge_frame(raw: Mapping[str, Any], meta: Meta, refuse_unknown_fields: bool) -> Iterator[FieldProblem]:
    """All but the spec."""
    if meta.kind not in KINDS:
        kinds = ", ".join(KINDS)
        yield FieldProblem(
            "kind", f"must be one of {kinds}, not {meta.kind!r}{did_you_mean(meta.kind, KINDS)}"
        )
    if raw.get("apiVersion", API_VERSION) != API_VERSION:
        yield FieldProblem("apiVersion", f"must be {API_VERSION}")
    metadata = raw.get("metadata")
    if not isinstance(metadata, Mapping):
        yield FieldProblem("metadata", "is required: write an object with name")
    elif not meta.name:
        yield FieldProblem("metadata.name", "is required: write a name, in quotes if it looks like a number")
    elif not fullmatch(OBJECT_NAME, meta.name) or len(meta.name) > 253:
        yield FieldProblem("metadata.name", f"must be {FORMS[OBJECT_NAME].words}; 253 characters at most")
    if not fullmatch(ITEM_NAME, meta.namespace) or len(meta.namespace) > 63:
        yield FieldProblem("metadata.namespace", f"must be {FORMS[ITEM_NAME].words}; 63 characters at most")
    if refuse_unknown_fields:
        for path, fields, known in (
            ("", raw, _OBJECT_FIELDS),
            ("metadata.", _mapping(metadata), _METADATA_FIELDS),
        ):
            unknown = [str(field) for field in fields if field not in known]
            yield from (unknown_field(path, field, known).problem for field in unknown)


def _parse_spec(
    kind: str, raw: object, refuse_unknown_fields: bool
) -> tuple[ApiModel | None, Iterable[FieldProblem]]:
    if raw is None:
        return None, [FieldProblem("spec", f"is required: write {expected_spec(kind)}")]
    model = KINDS[kind].spec
    try:
        plain = to_plain(raw)
    except TooDeep:
        return None, [
            FieldProblem("spec", "is nested without end: remove the YAML anchor that contains itself")
        ]
    unknown = list(find_unknown_fields(model, raw, "spec")) if refuse_unknown_fields else []
    problems = [*(field.problem for field in unknown), *find_repetitions(model, plain, "spec")]
    try:
        return model.model_validate(plain), problems
    except ValidationError as error:
        # A required field that is there, only misspelt, has its problem already.
        misspelt = {field.meant for field in unknown}
        taught = teach_errors(error, kind)
        return None, [*problems, *(problem for problem in taught if problem.path not in misspelt)]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
