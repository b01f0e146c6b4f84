"""Who gets what several objects claim: the older one, then the one whose namespace and name come first.

Routes claim model names within their namespace; quotas claim API keys, and the callers without one. All
claims are entered before the first is judged, so their order does not matter.
"""

from collections.abc import Iterable, KeysView
from typing import TypeAlias

from headgate_operator.api.manifest import Meta

Lost: TypeAlias = tuple[tuple[str, Meta], ...]
"""The claims that an object loses, each with the winner."""


class Claims:
    __slots__ = ("_contested", "_winners")

    def __init__(self) -> None:
        self._winners: dict[str, Meta] = {}
        self._contested = False  # of 10,000 objects hardly one: the judging below is then skipped

    def enter(self, meta: Meta, texts: Iterable[str]) -> None:
        """All claims of one object, once."""
        winners = self._winners
        for text in texts:
            holder = winners.setdefault(text, meta)
            if holder is not meta:
                self._contested = True
                winners[text] = min(holder, meta)

    def find_lost(self, meta: Meta, texts: Iterable[str]) -> Lost:
        """Which of its claims, entered before, another object won."""
        if not self._contested:
            return ()
        winners = self._winners
        return tuple([(text, winners[text]) for text in texts if winners[text] is not meta])

    @property
    def texts(self) -> KeysView[str]:
        """All that is claimed; each by somebody who gets it."""
        return self._winners.keys()
