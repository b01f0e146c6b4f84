"""One pydantic model to one structural schema, the dialect of JSON Schema that a CRD may use.

In: an `ApiModel`. Out: `Schema`, plain data in a fixed order. Called by `schema` for the CRDs and by
`problems`, which takes from it the words for what a field expects. Only what is known here passes: a keyword
that nobody has thought about is an `UntranslatableModel` with its path, since the API server would drop it or
refuse the CRD.

References are inlined, `X | None` is a plain field that may be absent (null means absent on both sides),
`int | str` is Kubernetes' int-or-string, rules become CEL, docstrings become descriptions.

The subtle rule is about defaults. They are put into the stored object, as the Kubernetes API conventions ask:
`kubectl get -o yaml` then shows what is in force, another default in a later version leaves existing objects
alone, and CEL sees values. But not inside lists: there Argo CD's client-side diff takes each for a change by
somebody. Items get their defaults from the model alone. Every description names the default.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from types import NoneType
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from headgate_operator.api.fields import FORMS
from headgate_operator.api.model import ApiModel

Schema = dict[str, Any]

READABLE_PATTERN: Final = 100
"""The API server answers with the pattern. A longer one than this becomes a CEL rule whose message is words.
Shorter ones stay, since editors and other tools know patterns and not CEL.
"""

_NOT_PORTABLE: Final = {
    r"\(\?": "groups with `(?`: RE2 knows no lookaround, and flags differ",
    r"\\[1-9]": "a back-reference, which RE2 does not know",
    r"\\[sSdDwWbB]": "a class that is Unicode in one engine and ASCII in the other: write the characters out",
    r"\\[AzZ]": "an anchor other than ^ and $",
}
"""Regular expressions that find what must not be in a pattern, and why."""


class UntranslatableModel(TypeError):
    """A model says what a CRD cannot: the programmer's mistake. The message begins with the path."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")


def build_structure(model: type[ApiModel], path: str) -> Schema:
    """`path` is where the model stands, such as `LLMProvider.spec`. Raises UntranslatableModel."""
    node = model.model_json_schema(by_alias=True, mode="validation")
    models: dict[str, type[ApiModel]] = {}
    _collect_models(model, path, models)
    return _Translator(node.pop("$defs", {}), models).translate_model(model, node, path, in_list=False)


def nested_models(annotation: object) -> Iterator[type[BaseModel]]:
    """The models inside a field's annotation: one for `Model`, `Model | None` and `tuple[Model, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        if argument not in (Ellipsis, NoneType):
            yield from nested_models(argument)


def _collect_models(model: type[BaseModel], path: str, found: dict[str, type[ApiModel]]) -> None:
    if not issubclass(model, ApiModel):
        raise UntranslatableModel(path, f"{model.__name__} is no ApiModel")
    if found.setdefault(model.__name__, model) is not model:
        raise UntranslatableModel(path, f"two models are called {model.__name__}: rename one")
    for name, info in model.model_fields.items():
        for nested in nested_models(info.annotation):
            if nested is not found.get(nested.__name__):
                _collect_models(nested, f"{path}.{info.alias or name}", found)


class _Translator:
    def __init__(self, defs: Mapping[str, Schema], models: Mapping[str, type[ApiModel]]) -> None:
        self._defs = defs
        self._models = models
        self._open: list[str] = []
        """Models that are being inlined, outermost first."""

    def translate_model(self, model: type[ApiModel], node: Schema, path: str, *, in_list: bool) -> Schema:
        if model.__name__ in self._open:
            raise UntranslatableModel(path, f"{model.__name__} contains itself, and a CRD has no references")
        self._open.append(model.__name__)
        rest = dict(node)
        rest.pop("title", None)
        if rest.pop("type", None) != "object" or not rest.get("properties"):
            raise UntranslatableModel(path, f"{model.__name__} is no object with fields")
        schema: Schema = {"description": _one_paragraph(rest.pop("description", ""), path), "type": "object"}
        required = rest.pop("required", [])
        if required:
            schema["required"] = required
        properties = rest.pop("properties")
        schema["properties"] = {
            name: self._translate_field(info, properties[name], f"{path}.{name}", in_list=in_list)
            for name, info in ((info.alias or name, info) for name, info in model.model_fields.items())
        }
        if model.cel_rules:
            schema["x-kubernetes-validations"] = [
                {"rule": rule.cel, "message": rule.message} for rule in model.cel_rules
            ]
        _refuse_rest(rest, path)
        self._open.pop()
        return schema

    def _translate_field(self, info: FieldInfo, node: Schema, path: str, *, in_list: bool) -> Schema:
        description = _one_paragraph(info.description or "", path)
        rest = {key: value for key, value in node.items() if key not in ("title", "description")}
        default = rest.pop("default", None)
        if isinstance(default, str | int):
            description += f" Default: {str(default).lower() if isinstance(default, bool) else default}."
        value = self._translate_value(rest, path, in_list=in_list)
        # Of an object `kubectl explain` shows what the field is for, then what the thing is.
        schema: Schema = {"description": f"{description} {value.pop('description', '')}".strip(), **value}
        if in_list or info.is_required():
            return schema
        if schema.get("type") == "object":
            # Without it nothing inside gets its default when the user leaves the object out. It is spelled
            # out because the API server puts it to the rules as it stands, and refuses the CRD for `{}`.
            defaults = _defaults_inside(schema)
            if info.default_factory is not None and defaults:
                schema["default"] = defaults
        elif default is not None:
            schema["default"] = default
        return schema

    def _translate_value(self, node: Schema, path: str, *, in_list: bool) -> Schema:
        rest = dict(node)
        if "anyOf" in rest:
            branches = [branch for branch in rest.pop("anyOf") if branch != {"type": "null"}]
            if sorted(str(branch.get("type")) for branch in branches) == ["integer", "string"]:
                _refuse_rest(rest, path)
                return _translate_number_or_text(branches, path)
            if len(branches) != 1:
                raise UntranslatableModel(
                    path, "a union is not structural: write one optional field per branch and a `type`"
                )
            rest = branches[0] | rest
        if "$ref" in rest:
            name = rest.pop("$ref").removeprefix("#/$defs/")
            _refuse_rest(rest, path)
            return self.translate_model(self._models[name], self._defs[name], path, in_list=in_list)
        if "const" in rest:
            rest["enum"] = [rest.pop("const")]
        kind = rest.pop("type", None)
        translators: Mapping[object, Callable[[Schema, str], Schema]] = {
            "string": _translate_string,
            "integer": _translate_integer,
            "boolean": lambda _rest, _path: {},
            "array": self._translate_array,
        }
        if kind not in translators:
            raise UntranslatableModel(
                path,
                f"type {kind!r} has no place in the API: text, whole numbers, booleans, lists, models do",
            )
        schema = {"type": kind} | translators[kind](rest, path)
        _refuse_rest(rest, path)
        return schema

    def _translate_array(self, rest: Schema, path: str) -> Schema:
        schema = _take(rest, "minItems", "maxItems")
        if "maxItems" not in schema:
            raise UntranslatableModel(path, "a list needs a max_length, or CEL cannot know its cost")
        if "items" not in rest:
            raise UntranslatableModel(path, "a list needs items of one type: write tuple[X, ...]")
        items = rest.pop("items")
        schema["items"] = self._translate_value(items, f"{path}[]", in_list=True)
        list_type = rest.pop("x-kubernetes-list-type", None)
        model = self._models.get(items.get("$ref", "").removeprefix("#/$defs/"))
        keys = model.list_map_keys if model else ()
        if bool(keys) == bool(list_type):
            raise UntranslatableModel(
                path, "a list needs list_map_keys on the model of its items, or else x-kubernetes-list-type"
            )
        if not keys:
            return schema | {"x-kubernetes-list-type": list_type}
        missing = sorted(set(keys) - set(schema["items"].get("required", ())))
        if missing:
            raise UntranslatableModel(path, f"the list-map key {missing[0]} must be a required field")
        return schema | {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def _translate_string(rest: Schema, path: str) -> Schema:
    schema = _take(rest, "format", "enum", "minLength", "maxLength", "pattern", "x-kubernetes-validations")
    if schema.get("format") not in (None, "date-time"):
        raise UntranslatableModel(path, f"the API server does not check format {schema['format']!r}")
    if not schema.keys() & {"format", "enum", "maxLength"}:
        raise UntranslatableModel(path, "text needs a max_length, or CEL cannot know its cost")
    if "pattern" in schema:
        _check_pattern(schema["pattern"], path)
        if len(schema["pattern"]) > READABLE_PATTERN:
            pattern = schema.pop("pattern")
            message = f"must be {FORMS[pattern].words}"
            rule = {"rule": f'self.matches(r"{pattern}")', "message": message}
            schema["x-kubernetes-validations"] = [rule, *schema.get("x-kubernetes-validations", ())]
    return schema


def _translate_integer(rest: Schema, path: str) -> Schema:
    if "exclusiveMinimum" in rest:
        rest["minimum"] = rest.pop("exclusiveMinimum") + 1
    if "exclusiveMaximum" in rest:
        rest["maximum"] = rest.pop("exclusiveMaximum") - 1
    if rest.pop("format", "int64") != "int64":
        raise UntranslatableModel(path, "a whole number has format int64")
    return {"format": "int64"} | _take(rest, "minimum", "maximum")


def _translate_number_or_text(branches: list[Schema], path: str) -> Schema:
    """Each keyword binds values of its own type alone, so all of them stand side by side. Rules of the owner
    ask `type(self.field) == string`. The `anyOf` that others write beside it says the same once more, and the
    API server's answer to it names no field.
    """
    number, text = (dict(branch) for branch in sorted(branches, key=lambda branch: str(branch["type"])))
    del number["type"], text["type"]
    bounds, form = _translate_integer(number, path), _translate_string(text, path)
    del bounds["format"]  # it would be said of the text as well
    if form.keys() != {"maxLength", "pattern"}:
        raise UntranslatableModel(path, "text beside a number needs a max_length and a readable pattern")
    _refuse_rest(number | text, path)
    return {"x-kubernetes-int-or-string": True} | bounds | form


def _check_pattern(pattern: str, path: str) -> None:
    if not (pattern.startswith("^") and pattern.endswith("$")):
        raise UntranslatableModel(path, f"the pattern {pattern} must begin with ^ and end with $")
    for found, why in _NOT_PORTABLE.items():
        if re.search(found, pattern):
            raise UntranslatableModel(path, f"the pattern {pattern} has {why}")
    if '"' in pattern:
        raise UntranslatableModel(path, f"the pattern {pattern} has a quotation mark: write \\x22")
    if re.search(r"[*+?}]\+", re.sub(r"\[[^]]*\]", "x", pattern)):
        raise UntranslatableModel(
            path, f"the pattern {pattern} has two quantifiers in a row: RE2 refuses them"
        )
    if pattern not in FORMS:
        raise UntranslatableModel(path, f"the pattern {pattern} has no words in fields.FORMS")


def _one_paragraph(docstring: str, path: str) -> str:
    if not docstring.strip():
        raise UntranslatableModel(path, "has no docstring: it is what `kubectl explain` shows")
    return " ".join(docstring.split())


def _defaults_inside(schema: Schema) -> Schema:
    return {name: child["default"] for name, child in schema["properties"].items() if "default" in child}


def _take(rest: Schema, *keywords: str) -> Schema:
    return {keyword: rest.pop(keyword) for keyword in keywords if keyword in rest}


def _refuse_rest(rest: Schema, path: str) -> None:
    if rest:
        raise UntranslatableModel(path, f"{', '.join(sorted(rest))} cannot be said in a CRD")
