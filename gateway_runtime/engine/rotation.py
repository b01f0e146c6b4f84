"""Whose turn it is: the weights of those that are fit in, the order of their turns out.

Smooth weighted round-robin, as nginx has it (commit 52327e0, 2012): each turn everybody gains its weight, the
richest goes and pays what all have gained. Weights 5, 1, 1 give `a a b a c a a`, never `a a a a a b c`.

`server` keeps one Rotation per route that asks for it, across reloads; `strategy` takes a turn per request.
Who is not fit gains nothing meanwhile, so it does not come back to a burst.
"""

from collections.abc import Sequence


class Rotation:
    __slots__ = ("_gained",)

    def __init__(self) -> None:
        self._gained: dict[int, float] = {}

    def take_turn(self, slots: Sequence[int], weights: Sequence[float]) -> list[int]:
        """Indices into `slots`, the one whose turn it is first, then those that are due next."""
        gained = self._gained
        for slot, weight in zip(slots, weights, strict=True):
            gained[slot] = gained.get(slot, 0.0) + weight
        due = sorted(range(len(slots)), key=lambda index: -gained[slots[index]])
        gained[slots[due[0]]] -= sum(weights)
        return due

    def __repr__(self) -> str:
        return f"<Rotation {dict(sorted(self._gained.items()))}>"
