"""Checks on the outline of a spec that pydantic does not make: unknown fields, and items that come twice.

In: a model and the value it is parsed from. Out: what is wrong. Called by `manifest`. The API server makes
the same checks: the first for `fieldValidation=Strict`, the second because lists are maps and sets.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from pydantic import BaseModel

from headgate_operator.api.model import ApiModel
from headgate_operator.api.problems import FieldProblem, nearest
from headgate_operator.api.structural import nested_models


class UnknownField(NamedTuple):
    problem: FieldProblem
    meant: str
    """Path of the field that the user probably meant, or empty."""


def find_unknown_fields(model: type[BaseModel], value: object, path: str) -> Iterator[UnknownField]:
    """`value` is the raw one: a null under an unknown name is refused, too."""
    known = _outline(model)
    for field, child in _entries(value):
        outline = known.get(field)
        if outline is None:
            yield unknown_field(f"{path}.", str(field), known)
        elif outline.model is not None:
            for item, item_path in _items(child, f"{path}.{field}"):
                yield from find_unknown_fields(outline.model, item, item_path)


def unknown_field(prefix: str, field: str, known: Iterable[str]) -> UnknownField:
    """`prefix` is the path of the object around it with its dot, or empty."""
    near = nearest(field, known)
    meant = f' Did you mean "{near}"?' if near else ""
    problem = FieldProblem(
        f"{prefix}{field}", f"is not a field.{meant} Known here: {', '.join(sorted(known))}"
    )
    return UnknownField(problem, f"{prefix}{near}" if near else "")


def find_repetitions(model: type[BaseModel], value: object, path: str) -> Iterator[FieldProblem]:
    """`value` is the plain one."""
    known = _outline(model)
    for field, child in _entries(value):
        outline = known.get(field)
        if outline is None:
            continue
        if isinstance(child, tuple) and (outline.keys or outline.is_set):
            yield from _find_twins(child, f"{path}.{field}", outline.keys)
        if outline.model is not None:
            for item, item_path in _items(child, f"{path}.{field}"):
                yield from find_repetitions(outline.model, item, item_path)


def _find_twins(items: tuple[Any, ...], path: str, keys: tuple[str, ...]) -> Iterator[FieldProblem]:
    """Items that are the same, or that have the same `keys` where there are any."""
    seen: dict[str, int] = {}
    for i, item in enumerate(items):
        if keys and not (isinstance(item, Mapping) and all(key in item for key in keys)):
            continue  # it has another problem, and no identity
        # As text, since an item may be anything here, also something that has no hash.
        first = seen.setdefault(repr([item[key] for key in keys] if keys else item), i)
        if first != i:
            same = f"has the same {' and '.join(keys)} as" if keys else "is the same as"
            remedy = "rename or remove one" if keys else "remove one"
            yield FieldProblem(f"{path}[{i}]", f"{same} {path.rpartition('.')[2]}[{first}]: {remedy}")


class _FieldOutline(NamedTuple):
    model: type[BaseModel] | None
    """Inside the field, itself or as the items of its list."""
    keys: tuple[str, ...]
    """List-map keys of the items."""
    is_set: bool


@cache
def _outline(model: type[BaseModel]) -> Mapping[str, _FieldOutline]:
    """By wire name. Kept, since looking through annotations took longer than all the rest of parsing."""
    outlines = {}
    for name, info in model.model_fields.items():
        nested = next(nested_models(info.annotation), None)
        keys = nested.list_map_keys if nested is not None and issubclass(nested, ApiModel) else ()
        extra = info.json_schema_extra
        is_set = isinstance(extra, dict) and extra.get("x-kubernetes-list-type") == "set"
        outlines[info.alias or name] = _FieldOutline(nested, keys, is_set)
    return outlines


def _entries(value: object) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, Mapping) else ()


def _items(value: Any, path: str) -> Iterator[tuple[Any, str]]:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        yield from ((item, f"{path}[{i}]") for i, item in enumerate(value))
    else:
        yield value, path
