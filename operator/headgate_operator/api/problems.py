"""What is wrong with one object, in words: the translation of pydantic's errors.

In: a ValidationError and the kind it is about. Out: `FieldProblem`s that say what is wrong, what was given
and what to write instead. Called by `manifest`. A value is repeated only where nobody pastes an API key by
mistake: these messages reach status, events and logs.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from pydantic import ValidationError

from headgate_operator.api.fields import FORMS, LONGEST_SHOWN
from headgate_operator.api.kinds import KINDS
from headgate_operator.api.structural import Schema, build_structure

_INT_OR_STRING: Final = "x-kubernetes-int-or-string"


@dataclass(frozen=True, slots=True)
class FieldProblem:
    path: str
    """Such as `spec.targets[0].weight`."""
    message: str
    """Reads after the path and a colon."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def teach_errors(error: ValidationError, kind: str) -> Iterator[FieldProblem]:
    """In the order of the model's fields."""
    yield from dict.fromkeys(_teach_each(error, _spec_schema(kind)))  # both branches of a union say the same


def _teach_each(error: ValidationError, spec: Schema) -> Iterator[FieldProblem]:
    for item in error.errors(include_url=False):
        location, schema = _find_field(spec, item["loc"])
        message = _teach(item["type"], item["input"], item.get("ctx", {}), schema)
        if message:
            yield FieldProblem(field_path(location), message)


def field_path(location: Iterable[str | int]) -> str:
    """As the API server writes it, from the steps below `spec`."""
    return "spec" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)


def nearest(given: str, known: Iterable[str]) -> str | None:
    """What somebody who wrote `given` probably meant. Letter case makes no difference to it."""
    by_lower = {name.lower(): name for name in known}
    near = get_close_matches(given.lower(), by_lower, n=1)
    return by_lower[near[0]] if near else None


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """What ends the sentence before and follows it, or nothing."""
    near = nearest(given, known)
    return f'. Did you mean "{near}"?' if near else ""


def expected_spec(kind: str) -> str:
    """What the `spec` of this kind is, in words that follow "write" or "must be"."""
    return _expected(_spec_schema(kind))


@cache
def _spec_schema(kind: str) -> Schema:
    return build_structure(KINDS[kind].spec, f"{kind}.spec")


def _find_field(schema: Schema, location: Sequence[str | int]) -> tuple[Sequence[str | int], Schema]:
    """Without the step that pydantic adds for the branch of a union."""
    for i, step in enumerate(location):
        if _INT_OR_STRING in schema:
            return location[:i], schema
        schema = schema["items"] if isinstance(step, int) else schema["properties"][step]
    return location, schema


def _teach(error_type: str, given: Any, context: Mapping[str, Any], schema: Schema) -> str:
    """Empty for an error that only follows from another one."""
    expected = _expected(schema)
    if _INT_OR_STRING in schema and error_type != "missing":
        return f"must be {expected}{_not(given)}" if isinstance(given, str) else _wrong_type(given, schema)
    match error_type:
        case "missing":
            return f"is required: write {expected}"
        case "value_error":
            return str(context["error"])  # a Rule's own message
        case "literal_error":
            if not isinstance(given, str):
                return _wrong_type(given, schema)
            return f"must be {expected}{_not(given)}{did_you_mean(given, schema['enum'])}"
        case "string_pattern_mismatch":
            form = FORMS[context["pattern"]]
            return f"must be {form.words}{_not(given) if form.shown else ''}"
        case "string_too_short":
            return f"must not be empty: write {expected}"
        case "string_too_long":
            return f"has {len(given)} characters, and at most {context['max_length']} are allowed"
        case "string_unicode":
            return "has characters that are not Unicode text: write them anew"
        case "greater_than_equal" | "less_than_equal":
            return f"must be {expected}{_not(given)}"
        case "too_short":
            # pydantic counts the good items only; the bad ones have problems of their own
            return "" if len(given) >= context["min_length"] else f"is empty: write {expected}"
        case "too_long":
            return f"has {len(given)} items, and at most {context['max_length']} are allowed"
    return _wrong_type(given, schema)


def _wrong_type(given: Any, schema: Schema) -> str:
    wanted = f"must be {_expected(schema)}"
    if isinstance(given, str):
        unquoted = {"integer": given.lstrip("-").isdigit(), "boolean": given in ("true", "false")}
        remedy = ": remove the quotes" if unquoted.get(schema["type"]) else ""
        return f"{wanted}, not text{remedy}"
    if schema.get("type") == "string" and isinstance(given, bool | int | float):
        remedy = ": put it in quotes" if _fits(str(given), schema) else ""
        return f"{wanted}, not a {'truth value' if isinstance(given, bool) else 'number'}{remedy}"
    if isinstance(given, bool | int | float):
        return f"{wanted}{_not(given)}"
    if isinstance(given, Mapping):
        return f"{wanted}, not an object"
    return f"{wanted}, not a list" if given is not None else f"{wanted}, not null"


def _fits(text: str, schema: Schema) -> bool:
    return text in schema.get("enum", ()) or (
        "pattern" in schema and bool(re.search(schema["pattern"], text))
    )


def _expected(schema: Schema) -> str:
    if "enum" in schema:
        values = schema["enum"]
        return f"one of {', '.join(values)}" if len(values) > 1 else str(values[0])
    if _INT_OR_STRING in schema:
        return f"{_whole_number(schema)}, or {FORMS[schema['pattern']].words}"
    match schema["type"]:
        case "integer":
            return _whole_number(schema)
        case "boolean":
            return "true or false"
        case "array":
            least, most = schema.get("minItems", 0), schema["maxItems"]
            count = f"{least} to {most}" if least else f"at most {most}"
            return f"a list of {count} items, each {_expected(schema['items'])}"
        case "object":
            if "required" in schema:
                return f"an object with {' and '.join(schema['required'])}"
            return f"an object (fields: {', '.join(schema['properties'])})"
    if "pattern" in schema:
        return FORMS[schema["pattern"]].words
    rules = schema["x-kubernetes-validations"]
    return str(rules[0]["message"]).removeprefix("must be ")


def _whole_number(schema: Schema) -> str:
    return f"a whole number from {schema['minimum']} to {schema['maximum']}"


def _not(given: str | float) -> str:
    """`, not 5` or `, not "5 min"`, or nothing where the value is better not repeated."""
    if isinstance(given, str):
        return f', not "{given}"' if len(given) <= LONGEST_SHOWN else ""
    return f", not {str(given).lower()}"
