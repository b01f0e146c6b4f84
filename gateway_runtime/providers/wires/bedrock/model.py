"""A model's name as Bedrock writes it: an id, an inference profile or an ARN in; its path, its family and
what it understands out.

`us.anthropic.claude-sonnet-4-5-20250929-v1:0` names its maker behind the region; so do most ARNs. An ARN of
an application's own inference profile names nobody, and what stands behind it cannot be known here: UNKNOWN.

Converse is the same for all families but for what it has no words for, and Claude models differ by age:

    before 3.7    does not think
    3.7 to 4.5    thinks within a budget of tokens
    4             `temperature` or `topP`, not both
    4.6           thinks as much as an effort says (adaptive)
    4.7           takes no budget, and no sampling parameter but the default
    5             thinks when nothing is said
    5.5           Opus cannot be told not to think, Sonnet but between tools; neither can be forced to call a
                  tool. Fable and Mythos: the first ever since, the second from 5.1 on

https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-thinking.html and
https://platform.claude.com/docs/en/about-claude/models/migration-guide. A Claude that is newer than this
table is judged by the newest that it knows.

The subtle rule: a name is data, never a piece of a path. Everything in it but letters, digits and `-_.~` is
percent-encoded, and a name of dots alone, which would climb, is refused.
"""

import re
from enum import Enum
from functools import lru_cache
from typing import Final, Literal, NamedTuple
from urllib.parse import quote

from gateway_runtime.contract.errors import ErrorCode, GatewayError


class Family(Enum):
    CLAUDE = "claude"
    NOVA = "nova"
    GPT_OSS = "gpt-oss"
    OTHER = "other"
    UNKNOWN = "unknown"


class Thinking(Enum):
    """How a model is told to think, in its maker's words."""

    NONE = "none"
    BUDGET = "budget"
    ADAPTIVE = "adaptive"
    EFFORT = "effort"
    """Nova 2 and gpt-oss: by a word."""


class Model(NamedTuple):
    path: str
    """`/model/{id}`, encoded."""
    family: Family
    thinking: Thinking = Thinking.NONE
    takes_budget: bool = False
    takes_xhigh: bool = False
    thinks_unasked: bool = False
    off: Literal["disabled", "between_tools"] | None = "disabled"
    """The type of `thinking` with which it thinks the least. None: it always thinks."""
    samples: Literal["as_told", "by_one", "by_itself"] = "as_told"
    """`by_one`: `temperature` or `topP`. `by_itself`: it takes defaults alone."""
    takes_forced_tools: bool = True

    @property
    def caches(self) -> bool:
        """It may take marks for the prompt cache; others refuse the request.
        https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html#prompt-caching-models
        """
        return self.family in (Family.CLAUDE, Family.NOVA, Family.UNKNOWN)

    @property
    def takes_reasoning(self) -> bool:
        """What was thought in earlier turns may come back to it, when it is signed."""
        return self.family in (Family.CLAUDE, Family.UNKNOWN)


_MAKER: Final = re.compile(r"(?:^|[./])(anthropic\.|amazon\.nova-|openai\.gpt-oss-)")
_CLAUDE: Final = re.compile(r"claude-(?:([a-z]+)-)?(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?")
"""A date is no minor version."""
_FIRST_CLAUDES: Final = re.compile(r"claude-(?:v\d|instant)")
_NUMBERLESS: Final = (5, 0)
"""`claude-mythos-preview`: names without a number are of that age."""


@lru_cache(maxsize=1024)
def read_model(name: str) -> Model:
    """Raises GatewayError UNSUPPORTED for what is no name."""
    if not name.strip("."):
        raise GatewayError(ErrorCode.UNSUPPORTED, f"`{name}` names no model in Amazon Bedrock's API.")
    path = f"/model/{quote(name, safe='')}"
    found = _MAKER.search(name)
    if found is None:
        return Model(path, Family.OTHER if "." in name else Family.UNKNOWN)
    if found[1] == "anthropic.":
        return _build_claude(path, name)
    if found[1] == "amazon.nova-":
        return Model(path, Family.NOVA, Thinking.EFFORT if "nova-2-" in name else Thinking.NONE)
    return Model(path, Family.GPT_OSS, Thinking.EFFORT)


def _build_claude(path: str, name: str) -> Model:
    kind, age = _read_claude(name)
    is_mythical = kind in ("fable", "mythos")
    off: Literal["disabled", "between_tools"] | None = "disabled"
    if is_mythical or (kind == "opus" and age >= (5, 5)):
        off = None
    elif kind == "sonnet" and age >= (5, 5):
        off = "between_tools"
    thinking = Thinking.NONE if age < (3, 7) else Thinking.BUDGET if age < (4, 6) else Thinking.ADAPTIVE
    return Model(
        path,
        Family.CLAUDE,
        thinking,
        takes_budget=(3, 7) <= age < (4, 7),
        takes_xhigh=age >= (4, 7),
        thinks_unasked=age >= (5, 0),
        off=off,
        samples="as_told" if age < (4, 0) else "by_one" if age < (4, 7) else "by_itself",
        takes_forced_tools=not (
            (is_mythical and age >= (5, 1)) or (kind in ("opus", "sonnet") and age >= (5, 5))
        ),
    )


def _read_claude(name: str) -> tuple[str, tuple[int, int]]:
    """Its kind, `opus`, and its age, (4, 7)."""
    if _FIRST_CLAUDES.search(name):
        return "", (2, 0)
    found = _CLAUDE.search(name)
    if found is None:
        return "mythos" if "mythos" in name else "", _NUMBERLESS
    return found[1] or "", (int(found[2]), int(found[3] or 0))
