"""Field types that more than one resource uses: names, durations, URLs, references to Secrets."""

import re
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from headgate_operator.api.model import ApiModel

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"([0-9]{1,6})(ms|s|m|h)")

Duration = Annotated[str, StringConstraints(max_length=8, pattern=r"^[0-9]{1,6}(ms|s|m|h)$")]
"""A whole number and a unit: `250ms`, `30s`, `5m`, `1h`."""

ItemName = Annotated[
    str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
]
"""Name of an item in a list: lower-case letters, digits and `-`."""

ObjectName = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
"""Name of a Kubernetes object."""

NamespaceName = Annotated[
    str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
]

ModelName = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\s*]+$")]
"""One model's name, as callers or providers write it: `gpt-4o-mini`, `meta-llama/Llama-3.1-8B-Instruct`."""

ModelPattern = Annotated[
    str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\s*]*[*]?[^\s*]*$")
]
"""A model's name, or a pattern with one `*`: `gpt-4o*`, `*`."""

BaseUrl = Annotated[str, StringConstraints(max_length=2048, pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")]
"""`http://` or `https://`, host and perhaps a path; no user, query or fragment."""


def parse_duration(text: str) -> float:
    """Seconds. `text` is a `Duration`; raises ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write a whole number and ms, s, m or h, such as 30s")
    return int(match[1]) * _UNITS[match[2]]


class SecretKeyRef(ApiModel):
    """One key of a Secret in the same namespace."""

    name: ObjectName
    """Name of the Secret. Label it `headgate.dev/watched: "true"` and a change of it is live at once; without
    the label it is read
    again every few minutes."""
    key: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")] = (
        Field(default="api-key")
    )
    """Key inside the Secret's data."""
