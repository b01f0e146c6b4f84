"""What a Claude model takes of the API, by its name.

`request` asks for each request. The API is one, its models are not: what one of them answers with a 400 is
the only way with another.

    before 4        thinks within a budget of tokens, where it thinks; samples as it is told
    4 to 4.5        the same; `temperature` or `top_p`, not both
    4.5             structured outputs
    4.6             decides by itself how much it thinks (adaptive), led by `effort`; takes budgets, too
    4.7             adaptive alone; no sampling parameter but the default
    5               thinks when nothing is said
    5.5             Opus cannot be told not to think, Sonnet but between tools; neither can be forced to call
                    a tool. Fable and Mythos: the first since 5, the second since 5.1

https://platform.claude.com/docs/en/build-with-claude/thinking-troubleshooting has the table for thinking,
https://platform.claude.com/docs/en/about-claude/models/migration-guide the rest, and
https://platform.claude.com/docs/en/build-with-claude/structured-outputs who has them.

The subtle rule: a name that does not say Claude belongs to another provider with the same API; nothing is
known of it, and everything passes. A Claude that is newer than this table is judged by the newest it knows.
"""

import re
from functools import lru_cache
from typing import Final, Literal, NamedTuple

_NAME: Final = re.compile(r"claude-(?:([a-z]+)-)?(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?")
"""`claude-opus-4-7-20260416`, `claude-3-7-sonnet-20250219`, `anthropic/claude-sonnet-4.5`. A date is no
minor version.
"""
_FAMILY: Final = re.compile(r"claude-([a-z]+)")
_NAMELESS: Final = (5, 0)
"""`claude-mythos-preview`: names without a number are of that age."""


class Model(NamedTuple):
    takes_budget: bool = True
    takes_adaptive: bool = False
    takes_xhigh: bool = False
    thinks_unasked: bool = False
    off: Literal["disabled", "between_tools"] | None = "disabled"
    """The type of `thinking` with which it thinks the least. None: it always thinks."""
    samples: Literal["freely", "as_told", "by_one", "by_itself"] = "as_told"
    """`freely`: not Claude's, whose limits are unknown. `by_one`: `temperature` or `top_p`. `by_itself`: it
    takes defaults alone.
    """
    takes_forced_tools: bool = True
    takes_schemas: bool = True
    """Structured outputs, and tools that are strict."""


_OTHER: Final = Model(samples="freely")


@lru_cache(maxsize=256)  # names come from routes, so they are few
def read_model(name: str) -> Model:
    """name: as the provider calls it."""
    if "claude" not in name:
        return _OTHER
    found = _NAME.search(name)
    if found is None:
        family_only = _FAMILY.search(name)
        family, age = family_only[1] if family_only else "", _NAMELESS
    else:
        family, age = found[1] or "", (int(found[2]), int(found[3] or 0))
    is_mythical = family in ("fable", "mythos")
    is_large = family in ("opus", "sonnet")
    off: Literal["disabled", "between_tools"] | None = "disabled"
    if is_mythical or (family == "opus" and age >= (5, 5)):
        off = None
    elif family == "sonnet" and age >= (5, 5):
        off = "between_tools"
    return Model(
        takes_budget=age < (4, 7),
        takes_adaptive=age >= (4, 6),
        takes_xhigh=age >= (4, 7),
        thinks_unasked=age >= (5, 0),
        off=off,
        samples="as_told" if age < (4, 0) else "by_one" if age < (4, 7) else "by_itself",
        takes_forced_tools=not ((is_mythical and age >= (5, 1)) or (is_large and age >= (5, 5))),
        takes_schemas=age >= (4, 5),
    )
