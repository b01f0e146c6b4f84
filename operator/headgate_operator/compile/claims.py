"""Who gets what two objects claim: the older one, then the one whose namespace and name come first.

Routes claim model names within their namespace, quotas claim API keys and the callers without one. Claims are
counted in any order and come out the same.
"""

from collections.abc import Iterable
from typing import TypeAlias

from headgate_operator.api.manifest import Meta

Winners: TypeAlias = dict[str, Meta]
Lost: TypeAlias = tuple[tuple[str, Meta], ...]
"""The claims that an object loses, each with the winner."""


def claim(winners: Winners, meta: Meta, texts: Iterable[str]) -> None:
    """Enters the claims of one object."""
    for text in texts:
        holder = winners.setdefault(text, meta)
        if holder is not meta and meta < holder:
            winners[text] = meta


def find_lost(winners: Winners, meta: Meta, texts: Iterable[str]) -> Lost:
    """Of the claims of `meta`, those that another object won; asked when every object has entered its own."""
    return tuple([(text, winners[text]) for text in texts if winners[text] is not meta])
