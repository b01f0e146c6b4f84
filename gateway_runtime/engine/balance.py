"""Which endpoint first, and which after it: a route and what is known of its endpoints in, an order out.

`server` calls `order_choices` once per request and walks down the result until an attempt succeeds. Priority
groups come in ascending order; within a group targets are drawn by weight, without replacement, so the first
choice follows the weights and the rest is the order of failing over. Chance is an argument.

The subtle rule: an endpoint whose probe fails is doubtful, not refused. It is tried after everything else,
because a probe that is wrong about all endpoints must not stop the traffic; an open circuit has seen real
requests fail and is believed.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TypeVar

import msgspec

from gateway_runtime.contract.ids import EndpointId
from gateway_runtime.contract.table import Endpoint, Provider, Route
from gateway_runtime.engine.lookup import Candidate, Group, LiveTable

_Item = TypeVar("_Item")


class Availability(Enum):
    READY = "ready"
    TRIAL = "trial"
    """The circuit is half open and its one trial is free."""
    DOUBTFUL = "doubtful"
    """The circuit lets requests through, but the active probe fails."""
    REFUSED = "refused"
    """The circuit is open, or its one trial is under way."""


class Choice(msgspec.Struct, frozen=True):
    provider: Provider
    endpoint: Endpoint
    model: str
    """What the provider calls the model."""


def order_choices(
    route: Route,
    model: str,
    live: LiveTable,
    availability: Callable[[EndpointId], Availability],
    draw: Callable[[], float],
) -> tuple[Choice, ...]:
    """All endpoints worth trying, best first; empty when the route has none, or all of them are refused.

    `model` is the name that the caller asked for. `draw` gives numbers in [0, 1); it is not called where
    there is nothing to choose.
    """
    choices: list[Choice] = []
    last_resort: list[Choice] = []
    for group in live.groups(route):
        for candidate in _order_targets(group, draw):
            provider = candidate.provider
            wanted = candidate.model or model
            upstream = candidate.upstream_names.get(wanted, wanted)
            for endpoint in _shuffle(provider.endpoints, draw):
                state = availability(endpoint.id)
                if state is Availability.DOUBTFUL:
                    last_resort.append(Choice(provider, endpoint, upstream))
                elif state is not Availability.REFUSED:
                    choices.append(Choice(provider, endpoint, upstream))
    return (*choices, *last_resort)


def _order_targets(group: Group, draw: Callable[[], float]) -> Sequence[Candidate]:
    if not group.idle and len(group.weighted) == 1:
        return group.weighted
    rest = list(group.weighted)
    total = sum(candidate.weight for candidate in rest)
    order: list[Candidate] = []
    while len(rest) > 1:
        point = draw() * total
        index = 0
        while index < len(rest) - 1 and point >= rest[index].weight:
            point -= rest[index].weight
            index += 1
        total -= rest[index].weight
        order.append(rest.pop(index))
    return (*order, *rest, *_shuffle(group.idle, draw))


def _shuffle(items: tuple[_Item, ...], draw: Callable[[], float]) -> Sequence[_Item]:
    if len(items) < 2:
        return items
    order = list(items)
    for last in range(len(order) - 1, 0, -1):
        other = int(draw() * (last + 1))
        order[last], order[other] = order[other], order[last]
    return order
