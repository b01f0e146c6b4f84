"""The base of every API model, and its rules across fields.

A `Rule` is stated twice, side by side: as CEL for the API server and as Python for files without a cluster.
`tests/api` asks both sides about every object of one corpus, so that they cannot drift apart.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel


class Rule(NamedTuple):
    cel: str
    """Evaluated by the API server, `self` being the object that the rule belongs to. Inside a list, optional
    fields need `has()` even where they have a default: `structural` says why.
    """
    message: str
    """Names the field and the remedy."""
    holds: Callable[[Any], bool]
    """The same in Python, on the parsed model."""


class ApiModel(BaseModel):
    """Fields are camelCase on the wire. Unknown fields are ignored here, since an older operator must be able
    to read newer objects; the API server and `headgate validate` refuse them.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        strict=True,  # the API server does not take "1" for 1, so neither do we
        use_attribute_docstrings=True,
    )
    cel_rules: ClassVar[tuple[Rule, ...]] = ()
    list_map_keys: ClassVar[tuple[str, ...]] = ()
    """Of a list whose items are this model: the fields (wire names) that identify an item for server-side
    apply.
    """

    @model_validator(mode="after")
    def _keep_rules(self) -> Self:
        for rule in self.cel_rules:
            if not rule.holds(self):
                raise ValueError(rule.message)
        return self
