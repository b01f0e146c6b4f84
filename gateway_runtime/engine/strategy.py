"""In which order the targets of one priority are tried: a route's strategy, targets with fit endpoints in, an
order of all their endpoints out.

    Weighted    targets drawn by weight without replacement, the endpoints of each evenly
    RoundRobin  endpoints in turn, by weight
    LeastBusy   two drawn by weight, the less busy first, then the others by how busy they are
    Latency     the lowest expected wait first: latency of late times requests in flight
    Cost        the cheapest targets first, by blended price; equal ones as Weighted has them

`balance` calls it for each priority. Except for Weighted and Cost, a target's weight is spread over its fit
endpoints.
The subtle rule is for latencies not known yet: an idle endpoint is tried first, a busy one last, so that one
request explores and the others wait for what it finds (Finagle's).
"""

from collections.abc import Callable, Sequence
from math import inf
from typing import TypeVar

import msgspec

from gateway_runtime.contract.table import Strategy
from gateway_runtime.engine.plan import Choice, Party
from gateway_runtime.engine.rotation import Rotation

_Item = TypeVar("_Item")


class EndpointView(msgspec.Struct):
    """What `server` knows of an endpoint at this moment. It may keep one per endpoint and change it."""

    in_flight: int = 0
    latency_s: float | None = None
    """`PeakEwma.value`; None: not known yet."""
    opened_s: float = 0.0
    """`Breaker.opened_s`: when its circuit opened last."""


class Knowledge(msgspec.Struct, frozen=True):
    """What strategies ask beyond the weights. A route's strategy falls back to Weighted where it is missing:
    `view` for LeastBusy and Latency, `rotation` for RoundRobin.
    """

    draw: Callable[[], float]
    """Numbers in [0, 1); not called where there is nothing to choose."""
    view: Callable[[Choice], EndpointView] | None = None
    rotation: Rotation | None = None


def arrange(strategy: Strategy, parties: Sequence[Party], known: Knowledge) -> Sequence[Choice]:
    """No party has weight 0, and none is without choices."""
    if len(parties) == 1 and len(parties[0].choices) == 1:
        return parties[0].choices
    if strategy == "RoundRobin" and known.rotation is not None:
        return _arrange_by_turn(parties, known.rotation)
    if strategy == "LeastBusy" and known.view is not None:
        return _arrange_by_load(parties, known.view, known.draw)
    if strategy == "Latency" and known.view is not None:
        return _arrange_by_latency(parties, known.view, known.draw)
    if strategy == "Cost":
        return _arrange_by_price(parties, known.draw)
    return _arrange_by_weight(parties, known.draw)


def shuffle(items: Sequence[_Item], draw: Callable[[], float]) -> Sequence[_Item]:
    if len(items) < 2:
        return items
    order = list(items)
    for last in range(len(order) - 1, 0, -1):
        other = int(draw() * (last + 1))
        order[last], order[other] = order[other], order[last]
    return order


def _arrange_by_weight(parties: Sequence[Party], draw: Callable[[], float]) -> Sequence[Choice]:
    if len(parties) == 1:
        return shuffle(parties[0].choices, draw)
    order: list[Choice] = []
    for index in _draw_indices([party.weight for party in parties], draw, len(parties)):
        order += shuffle(parties[index].choices, draw)
    return order


def _arrange_by_turn(parties: Sequence[Party], rotation: Rotation) -> Sequence[Choice]:
    choices, weights = _flatten(parties)
    return [choices[index] for index in rotation.take_turn([choice.slot for choice in choices], weights)]


def _arrange_by_load(
    parties: Sequence[Party], view: Callable[[Choice], EndpointView], draw: Callable[[], float]
) -> Sequence[Choice]:
    choices, weights = _flatten(parties)
    # With the request that is about to go there: a weight of 3 holds three times as many.
    loads = [(view(choice).in_flight + 1) / weight for choice, weight in zip(choices, weights, strict=True)]
    first, second = _draw_indices(weights, draw, 2)
    if loads[second] < loads[first]:
        first, second = second, first
    others = sorted((i for i in range(len(choices)) if i not in (first, second)), key=loads.__getitem__)
    return [choices[index] for index in (first, second, *others)]


def _arrange_by_latency(
    parties: Sequence[Party], view: Callable[[Choice], EndpointView], draw: Callable[[], float]
) -> Sequence[Choice]:
    choices, weights = _flatten(parties)
    start = int(draw() * len(choices))  # sorting keeps the order of equals, so each is first in its turn
    everyone = [*range(start, len(choices)), *range(start)]
    return [choices[i] for i in sorted(everyone, key=lambda i: _expect_wait(view(choices[i]), weights[i]))]


def _expect_wait(known: EndpointView, weight: float) -> float:
    if known.latency_s is None:
        return -1.0 if known.in_flight == 0 else inf
    return known.latency_s * (known.in_flight + 1) / weight


def _arrange_by_price(parties: Sequence[Party], draw: Callable[[], float]) -> Sequence[Choice]:
    """Unknown prices come last: nobody is sent to what may be the dearest. All endpoints of a party have one
    price, its model's.
    """
    by_price: dict[float, list[Party]] = {}
    for party in parties:
        blend = party.choices[0].blend_usd_picos
        by_price.setdefault(inf if blend is None else blend, []).append(party)
    if len(by_price) == 1:
        return _arrange_by_weight(parties, draw)
    order: list[Choice] = []
    for price in sorted(by_price):
        order += _arrange_by_weight(by_price[price], draw)
    return order


def _flatten(parties: Sequence[Party]) -> tuple[list[Choice], list[float]]:
    choices: list[Choice] = []
    weights: list[float] = []
    for party in parties:
        choices += party.choices
        weights += [party.weight / len(party.choices)] * len(party.choices)
    return choices, weights


def _draw_indices(weights: Sequence[float], draw: Callable[[], float], count: int) -> list[int]:
    """`count` different indices, 2 at least, drawn by weight without replacement."""
    if len(weights) == 2:  # by far the most common case: 0.3 µs instead of 1.0
        return [0, 1] if draw() * (weights[0] + weights[1]) < weights[0] else [1, 0]
    rest = list(range(len(weights)))
    total = sum(weights)
    drawn: list[int] = []
    while len(rest) > 1 and len(drawn) < count:
        point = draw() * total
        place = 0
        while place < len(rest) - 1 and point >= weights[rest[place]]:
            point -= weights[rest[place]]
            place += 1
        total -= weights[rest[place]]
        drawn.append(rest.pop(place))
    return drawn + rest[: count - len(drawn)]
