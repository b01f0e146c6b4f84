"""Checks on the outline of a spec that pydantic does not make: unknown fields, and items that come twice.

In: a model and the plain value it is parsed from. Out: `FieldProblem`s. Called by `manifest`. The API server
makes the same checks: the first for `fieldValidation=Strict`, the second because lists are maps and sets.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from headgate_operator.api.model import ApiModel
from headgate_operator.api.problems import FieldProblem, nearest
from headgate_operator.api.structural import nested_models


class UnknownField(NamedTuple):
    problem: FieldProblem
    meant: str
    """Path of the field that the user probably meant, or empty."""


def find_unknown_fields(model: type[BaseModel], value: object, path: str) -> Iterator[UnknownField]:
    """`value` is the raw one: a null under an unknown name is refused, too."""
    for field, info, child, child_path in _walk(model, value, path):
        if info is None:
            known = [known.alias or name for name, known in model.model_fields.items()]
            yield unknown_field(f"{path}.", field, known)
            continue
        for nested in nested_models(info.annotation):
            for item, item_path in _items(child, child_path):
                yield from find_unknown_fields(nested, item, item_path)


def unknown_field(prefix: str, field: str, known: Iterable[str]) -> UnknownField:
    """`prefix` is the path of the object around it with its dot, or empty."""
    near = nearest(field, known)
    meant = f' Did you mean "{near}"?' if near else ""
    problem = FieldProblem(
        f"{prefix}{field}", f"is not a field.{meant} Known here: {', '.join(sorted(known))}"
    )
    return UnknownField(problem, f"{prefix}{near}" if near else "")


def find_repetitions(model: type[BaseModel], value: object, path: str) -> Iterator[FieldProblem]:
    for _, info, child, child_path in _walk(model, value, path):
        if info is None:
            continue
        nested = next(nested_models(info.annotation), None)
        if isinstance(child, tuple):
            yield from _find_twins(child, child_path, info, nested)
        if nested is not None:
            for item, item_path in _items(child, child_path):
                yield from find_repetitions(nested, item, item_path)


def _find_twins(
    items: tuple[Any, ...], path: str, info: FieldInfo, model: type[BaseModel] | None
) -> Iterator[FieldProblem]:
    keys = model.list_map_keys if model is not None and issubclass(model, ApiModel) else ()
    extra = info.json_schema_extra
    is_set = isinstance(extra, dict) and extra.get("x-kubernetes-list-type") == "set"
    seen: dict[Any, int] = {}
    for i, item in enumerate(items):
        if keys and isinstance(item, Mapping) and all(key in item for key in keys):
            identity: Any = tuple(repr(item.get(key)) for key in keys)
        elif is_set and not keys:
            identity = repr(item)
        else:
            continue
        first = seen.setdefault(identity, i)
        if first != i:
            same = f"has the same {' and '.join(keys)} as" if keys else "is the same as"
            remedy = "rename or remove one" if keys else "remove one"
            yield FieldProblem(f"{path}[{i}]", f"{same} {path.rpartition('.')[2]}[{first}]: {remedy}")


def _walk(
    model: type[BaseModel], value: object, path: str
) -> Iterator[tuple[str, FieldInfo | None, Any, str]]:
    """Each field that is there: its wire name, what the model says of it, its value and its path."""
    if isinstance(value, Mapping):
        fields = {info.alias or name: info for name, info in model.model_fields.items()}
        for field, child in value.items():
            yield str(field), fields.get(field), child, f"{path}.{field}"


def _items(value: Any, path: str) -> Iterator[tuple[Any, str]]:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        yield from ((item, f"{path}[{i}]") for i, item in enumerate(value))
    else:
        yield value, path
