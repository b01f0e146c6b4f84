"""An object as the API server or a file gives it, parsed: a `Manifest`, or a `BrokenManifest` that says what
is wrong.

The operator parses what it watches, `headgate validate` and `headgate up` what they read from files. User
mistakes are values: nothing here raises for them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from headgate_operator.api.kinds import KINDS
from headgate_operator.api.model import ApiModel
from headgate_operator.api.provider import LLMProviderSpec
from headgate_operator.api.quota import TenantQuotaSpec
from headgate_operator.api.route import ModelRouteSpec

Spec = TypeVar("Spec", bound=ApiModel, covariant=True)


@dataclass(frozen=True, slots=True, order=True)
class Meta:
    """Order is precedence: the older object wins a conflict, then the smaller namespace and name."""

    created: str
    """RFC 3339, as the API server writes it; files that know no time give the same text for all."""
    namespace: str
    name: str
    kind: str
    uid: str
    generation: int

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.name}"

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class FieldProblem:
    path: str
    """Such as `spec.targets[0].weight`."""
    message: str


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
    """`raw` has a kind of ours and a name; the API server and the file reader see to it."""
    metadata = raw["metadata"]
    return Meta(
        created=str(metadata.get("creationTimestamp") or ""),
        namespace=str(metadata.get("namespace") or "default"),
        name=str(metadata["name"]),
        kind=str(raw["kind"]),
        uid=str(metadata.get("uid") or ""),
        generation=int(metadata.get("generation") or 0),
    )


def parse_manifest(
    raw: Mapping[str, Any], *, refuse_unknown_fields: bool = False
) -> Manifest[ApiModel] | BrokenManifest:
    """`refuse_unknown_fields` is for files, where a typo must not pass; the API server prunes or refuses them
    itself.
    """
    meta = parse_meta(raw)
    model = KINDS[meta.kind].spec
    spec = raw.get("spec")
    if not isinstance(spec, Mapping):
        return BrokenManifest(meta, (FieldProblem("spec", "is required"),))
    try:
        # By way of JSON: strict parsing then takes arrays for tuples, and sees just what the API server sees.
        parsed = model.model_validate_json(json.dumps(spec, default=str))
    except ValidationError as error:
        return BrokenManifest(meta, tuple(_problems(error)))
    unknown = tuple(_unknown_fields(model, spec, "spec")) if refuse_unknown_fields else ()
    return BrokenManifest(meta, unknown) if unknown else Manifest(meta, parsed)


def _problems(error: ValidationError) -> Iterator[FieldProblem]:
    for item in error.errors(include_url=False, include_context=False):
        path = "spec"
        for step in item["loc"]:
            path += f"[{step}]" if isinstance(step, int) else f".{step}"
        yield FieldProblem(path, item["msg"].removeprefix("Value error, "))


def _unknown_fields(model: type[BaseModel], value: object, path: str) -> Iterator[FieldProblem]:
    if not isinstance(value, Mapping):
        return
    fields = {info.alias or name: info for name, info in model.model_fields.items()}
    for key in value:
        if key not in fields:
            yield FieldProblem(f"{path}.{key}", f"is not a field; known here: {', '.join(sorted(fields))}")
            continue
        for nested in _nested_models(fields[key].annotation):
            child = value[key]
            if isinstance(child, Sequence) and not isinstance(child, str):
                for i, item in enumerate(child):
                    yield from _unknown_fields(nested, item, f"{path}.{key}[{i}]")
            else:
                yield from _unknown_fields(nested, child, f"{path}.{key}")


def _nested_models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        if argument not in (Ellipsis, NoneType):
            yield from _nested_models(argument)
