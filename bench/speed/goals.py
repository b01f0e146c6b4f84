"""What a figure is asked to be, and whether it is: text for two cells of a row.

Called by `tables`. A figure that is missing has a verdict too: `not measured`.
"""

from typing import NamedTuple


class Judged(NamedTuple):
    goal: str
    verdict: str


NOTHING_ASKED = Judged("", "")
_NOT_MEASURED = "not measured"


def at_least_times(factor: float, ours: float | None, theirs: float | None) -> Judged:
    """Where more is better: ours against the row's own figure."""
    goal = f"Headgate >= {factor:g} x"
    if ours is None or not theirs:
        return Judged(goal, _NOT_MEASURED)
    return Judged(goal, _judge(ours / theirs >= factor, f"{ours / theirs:.2f} x"))


def at_most_times(factor: float, ours: float | None, theirs: float | None) -> Judged:
    """Where less is better."""
    goal = f"Headgate <= {factor:g} x"
    if ours is None or not theirs:
        return Judged(goal, _NOT_MEASURED)
    return Judged(goal, _judge(ours / theirs <= factor, f"{ours / theirs:.2f} x"))


def at_most(bound: float, figure: float | None, what: str) -> Judged:
    """what: the figure's unit, and its name where the row has several: `µs`, `ms added p99`."""
    goal = f"<= {bound:g} {what}"
    if figure is None:
        return Judged(goal, _NOT_MEASURED)
    return Judged(goal, _judge(figure <= bound, f"{figure:.3g} {what}"))


def below(bound: float, figure: float | None, what: str) -> Judged:
    goal = f"< {bound:g} {what}"
    if figure is None:
        return Judged(goal, _NOT_MEASURED)
    return Judged(goal, _judge(figure < bound, f"{figure:.3g} {what}"))


def all_of(*judged: Judged) -> Judged:
    """Several goals of one row."""
    return Judged("; ".join(one.goal for one in judged), "; ".join(one.verdict for one in judged))


def _judge(holds: bool, figure: str) -> str:
    return f"{'met' if holds else '**missed**'}: {figure}"
