"""What a model's name tells of what it takes. A model whose name tells nothing, such as a tuned one, is
treated as one of the second generation, which the third puts up with in all but tool calls without
signatures.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

_GENERATION: Final = re.compile(r"gemini-(\d+)(?:\.(\d+))?(?=-|$)")
_LATEST: Final = re.compile(r"gemini-(?:pro|flash|flash-lite)-latest")


class Traits(NamedTuple):
    third: bool
    """Gemini 3 or later: it has thinking levels instead of budgets, ids of tool calls, media in tools'
    results, and checks the signatures of its thoughts. Earlier ones refuse all of the first three. See
    https://ai.google.dev/gemini-api/docs/gemini-3.
    """
    pro: bool
    """It cannot stop thinking: https://ai.google.dev/gemini-api/docs/thinking."""
    has_medium: bool
    """Gemini 3 Pro, the first of them, has no `MEDIUM`."""


@lru_cache(maxsize=256)  # the names come from routes, so there are few
def find_traits(model: str) -> Traits:
    name = model.rpartition("/")[2].lower()
    found = _GENERATION.match(name)
    third = int(found[1]) >= 3 if found else _LATEST.fullmatch(name) is not None
    return Traits(third, "-pro" in name, not name.startswith("gemini-3-pro"))
