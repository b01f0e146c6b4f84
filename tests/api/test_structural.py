"""What the generator makes of a model, and what it refuses, with the path."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, Field, StringConstraints

from headgate_operator.api.fields import Amount, Duration, ItemName
from headgate_operator.api.kinds import KINDS
from headgate_operator.api.model import ApiModel, Rule
from headgate_operator.api.structural import Schema, UntranslatableModel, build_structure

Words = Annotated[str, StringConstraints(max_length=8)]


class Item(ApiModel):
    """An item."""

    list_map_keys: ClassVar = ("name",)

    name: ItemName
    """Its name."""
    weight: Annotated[int, Field(ge=0, le=9)] = 1
    """Its weight."""


class Inner(ApiModel):
    """What an inner thing is."""

    wait: Duration = "5s"
    """How long."""


def model_of(annotation: Any, default: Any = ..., doc: str = "A field.") -> type[ApiModel]:
    """A model with the one field `field`."""
    body = {
        "__module__": __name__,
        "__doc__": "A model.",
        "__annotations__": {"field": annotation},
        "field": Field(default=default, description=doc) if default is not ... else Field(description=doc),
    }
    return type("Model", (ApiModel,), body)


def field_of(annotation: Any, default: Any = ...) -> Schema:
    built: Schema = build_structure(model_of(annotation, default), "Kind.spec")["properties"]["field"]
    return built


def refusal(annotation: Any, default: Any = ..., doc: str = "A field.") -> str:
    with pytest.raises(UntranslatableModel) as caught:
        build_structure(model_of(annotation, default, doc), "Kind.spec")
    return str(caught.value)


def test_an_optional_field_is_a_plain_one_that_is_not_required() -> None:
    schema = build_structure(model_of(Words | None, None), "Kind.spec")

    assert "required" not in schema
    assert schema["properties"]["field"] == {"description": "A field.", "type": "string", "maxLength": 8}


def test_a_default_is_stored_and_told() -> None:
    assert field_of(Duration, "5s") == {
        "description": "A field. Default: 5s.",
        "type": "string",
        "maxLength": 8,
        "pattern": "^[1-9][0-9]{0,5}(ms|s|m|h)$",
        "default": "5s",
    }
    assert field_of(bool, True)["description"] == "A field. Default: true."


def test_an_object_of_defaults_has_them_spelled_out_as_its_own() -> None:
    model = type(
        "Model",
        (ApiModel,),
        {
            "__module__": __name__,
            "__doc__": "A model.",
            "__annotations__": {"field": Inner},
            "field": Field(default_factory=Inner, description="A field."),
        },
    )

    built = build_structure(model, "Kind.spec")["properties"]["field"]

    assert built["default"] == {"wait": "5s"}
    assert built["description"] == "A field. What an inner thing is."


def test_inside_a_list_a_default_is_told_but_not_stored() -> None:
    items = field_of(Annotated[tuple[Item, ...], Field(max_length=3)])["items"]

    assert items["properties"]["weight"] == {
        "description": "Its weight. Default: 1.",
        "type": "integer",
        "format": "int64",
        "minimum": 0,
        "maximum": 9,
    }


def test_a_list_of_named_items_is_a_map_for_server_side_apply() -> None:
    built = field_of(Annotated[tuple[Item, ...], Field(min_length=1, max_length=3)])

    assert (built["minItems"], built["maxItems"]) == (1, 3)
    assert (built["x-kubernetes-list-type"], built["x-kubernetes-list-map-keys"]) == ("map", ["name"])


def test_one_allowed_value_is_an_enum_of_one() -> None:
    assert field_of(Literal["Requests"])["enum"] == ["Requests"]


def test_exclusive_bounds_of_whole_numbers_become_inclusive() -> None:
    built = field_of(Annotated[int, Field(gt=0, lt=10)])

    assert (built["minimum"], built["maximum"]) == (1, 9)


@pytest.mark.parametrize(("annotation", "default"), [(Amount, ...), (Amount | None, None)])
def test_a_number_or_a_text_is_the_one_union_that_a_crd_knows(annotation: Any, default: Any) -> None:
    assert field_of(annotation, default) == {
        "description": "A field.",
        "x-kubernetes-int-or-string": True,
        "minimum": 1,
        "maximum": 10**15,
        "maxLength": 13,
        "pattern": r"^[0-9]{1,6}(\.[0-9]{1,6})?$",
    }


def test_a_number_or_a_text_may_have_a_default() -> None:
    built = field_of(Amount, 5)

    assert (built["default"], built["description"]) == (5, "A field. Default: 5.")


def test_rules_become_cel_with_their_messages() -> None:
    model = model_of(Words)
    model.cel_rules = (
        Rule("self.field != 'x'", "field must not be x: choose another", lambda m: m.field != "x"),
    )

    assert build_structure(model, "Kind.spec")["x-kubernetes-validations"] == [
        {"rule": "self.field != 'x'", "message": "field must not be x: choose another"}
    ]


def test_a_docstring_becomes_one_paragraph() -> None:
    built = build_structure(model_of(Words, doc="First line\n    second line.\n"), "Kind.spec")

    assert built["properties"]["field"]["description"] == "First line second line."


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (str, "text needs a max_length, or CEL cannot know its cost"),
        (tuple[Words, ...], "a list needs a max_length, or CEL cannot know its cost"),
        (
            Annotated[tuple[Words, ...], Field(max_length=3)],
            "a list needs list_map_keys on the model of its items, or else x-kubernetes-list-type",
        ),
        (
            Annotated[
                tuple[Item, ...], Field(max_length=3, json_schema_extra={"x-kubernetes-list-type": "set"})
            ],
            "a list needs list_map_keys on the model of its items, or else x-kubernetes-list-type",
        ),
        (tuple[Words, Words], "a list needs items of one type: write tuple[X, ...]"),
        (Words | int, "text beside a number needs a max_length and a readable pattern"),
        (int | bool, "a union is not structural: write one optional field per branch and a `type`"),
        (
            Words | bool | None,
            "a union is not structural: write one optional field per branch and a `type`",
        ),
        (
            float,
            "type 'number' has no place in the API: text, whole numbers, booleans, lists, models do",
        ),
        (
            dict[str, Words],
            "type 'object' has no place in the API: text, whole numbers, booleans, lists, models do",
        ),
        (Any, "type None has no place in the API: text, whole numbers, booleans, lists, models do"),
        (Decimal, "a union is not structural: write one optional field per branch and a `type`"),
        (
            Annotated[str, Field(max_length=9, json_schema_extra={"format": "uri"})],
            "the API server does not check format 'uri'",
        ),
        (
            Annotated[int, Field(json_schema_extra={"format": "int32"})],
            "a whole number has format int64",
        ),
        (Annotated[int, Field(multiple_of=5)], "multipleOf cannot be said in a CRD"),
        (
            Annotated[bool, Field(json_schema_extra={"readOnly": True, "examples": []})],
            "examples, readOnly cannot be",
        ),
    ],
)
def test_what_a_crd_cannot_say_is_refused(annotation: Any, said: str) -> None:
    assert refusal(annotation).startswith(f"Kind.spec.field: {said}")


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("abc", "must begin with ^ and end with $"),
        (
            r"^\S+$",
            "has a class that is Unicode in one engine and ASCII in the other: write the characters out",
        ),
        (
            r"^[\w]+$",
            "has a class that is Unicode in one engine and ASCII in the other: write the characters out",
        ),
        (r"^(?i)a$", "has groups with `(?`: RE2 knows no lookaround, and flags differ"),
        (r"^a\z$", "has an anchor other than ^ and $"),
        (r"^a++$", "has two quantifiers in a row: RE2 refuses them"),
        (r'^"$', r"has a quotation mark: write \x22"),
        (r"^[a-c]+$", "has no words in fields.FORMS"),
    ],
)
def test_a_pattern_that_means_two_things_is_refused(pattern: str, said: str) -> None:
    constrained = Annotated[str, StringConstraints(max_length=8, pattern=pattern)]

    assert refusal(constrained) == f"Kind.spec.field: the pattern {pattern} {said}"


def test_a_lookahead_is_refused_even_where_pydantic_would_take_it() -> None:
    schema = Annotated[str, Field(max_length=8, json_schema_extra={"pattern": "^(?=a)b$"})]

    assert refusal(schema) == (
        "Kind.spec.field: the pattern ^(?=a)b$ has groups with `(?`:"
        " RE2 knows no lookaround, and flags differ"
    )


def test_a_field_without_a_docstring_is_refused() -> None:
    assert refusal(Words, doc="") == "Kind.spec.field: has no docstring: it is what `kubectl explain` shows"


def test_a_list_map_key_that_may_be_absent_is_refused() -> None:
    class Loose(ApiModel):
        """An item."""

        list_map_keys: ClassVar = ("name",)

        name: ItemName | None = None
        """Its name."""

    said = refusal(Annotated[tuple[Loose, ...], Field(max_length=3)])

    assert said == "Kind.spec.field: the list-map key name must be a required field"


class Endless(ApiModel):
    """A thing in a thing."""

    inner: Endless | None = None
    """The same again."""


def test_a_model_that_contains_itself_is_refused() -> None:
    assert refusal(Endless) == ("Kind.spec.field.inner: Endless contains itself, and a CRD has no references")


def test_a_foreign_model_is_refused() -> None:
    class Foreign(BaseModel):
        """Not ours."""

    assert refusal(Foreign) == "Kind.spec.field: Foreign is no ApiModel"


def test_two_models_of_one_name_are_refused() -> None:
    twin = type(
        "Item",
        (ApiModel,),
        {"__module__": __name__, "__doc__": "Another.", "__annotations__": {"item": Item}},
    )

    assert refusal(twin) == "Kind.spec.field.item: two models are called Item: rename one"


def test_a_model_without_fields_is_refused() -> None:
    class Nothing(ApiModel):
        """Empty."""

    assert refusal(Nothing) == "Kind.spec.field: Nothing is no object with fields"


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_the_status_has_no_defaults_and_no_rules(kind: Any) -> None:
    text = str(build_structure(kind.status, kind.name))

    assert "'default'" not in text
    assert "x-kubernetes-validations" not in text
