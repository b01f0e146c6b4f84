"""What of a route stays the same from request to request: its endpoints for a model, by priority and target.

In: the route's groups, which `lookup` prepares at load, and the name that a caller asks for. Out: a `Plan`,
which `LiveTable.plan` keeps, so that `balance` draws an order without making a single object where all is
well.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from gateway_runtime.contract.ids import ProviderId
from gateway_runtime.contract.table import Endpoint, Model, Price, Provider, Target

_INPUT_PARTS: Final = 3
"""To one of output: the mix by which Artificial Analysis compares models. A request's own is known only when
it has been answered.
"""


class Candidate(msgspec.Struct, frozen=True):
    """A target with its provider found and the models at hand."""

    provider: Provider
    models: Mapping[str, Model]
    """The provider's, by their names in manifests."""
    model: str | None
    weight: int


class Choice(msgspec.Struct, frozen=True):
    provider: Provider
    endpoint: Endpoint
    model: str
    """What the provider calls the model."""
    slot: int = 0
    """Its number within the plan: `Rotation` counts by it."""
    last_resort: bool = False
    """Its circuit is open and it goes all the same: `Breaker.begin(last_resort=True)`."""
    blend_usd_picos: int | None = None
    """What three tokens of input and one of output cost there; None: not known."""
    max_output_tokens: int | None = None
    """What the model writes at most; None: not known."""
    price: Price | None = None
    """As the manifest has it; None: it says none."""


class Party(msgspec.Struct, frozen=True):
    """A target, or those of its endpoints that are fit, which share its weight."""

    weight: int
    choices: tuple[Choice, ...]


class Group(msgspec.Struct, frozen=True):
    """The targets of one priority."""

    weighted: tuple[Party, ...]
    idle: tuple[Party, ...]
    """Weight 0: only after all weighted ones."""
    size: int
    """How many choices."""


class Pair(msgspec.Struct, frozen=True):
    """The most common plan that leaves something to choose: two targets of one endpoint each. Both orders."""

    weight: int
    """Of the first."""
    total: int
    first: tuple[Choice, Choice]
    second: tuple[Choice, Choice]
    """With the second target first."""


class Plan(msgspec.Struct, frozen=True):
    groups: tuple[Group, ...]
    """The lowest priority first."""
    choices: tuple[Choice, ...]
    """All of them, in the order in which they stand in the manifest, by priority."""
    is_fixed: bool
    """No group leaves anything to choose: `choices` is the order."""
    pair: Pair | None = None


def build_candidates(
    targets: Iterable[Target],
    providers: Mapping[ProviderId, Provider],
    models: Mapping[ProviderId, Mapping[str, Model]],
) -> tuple[tuple[Candidate, ...], ...]:
    """By priority, the lowest number first."""
    by_priority: dict[int, list[Candidate]] = {}
    for target in targets:
        candidate = Candidate(
            providers[target.provider], models[target.provider], target.model, target.weight
        )
        by_priority.setdefault(target.priority, []).append(candidate)
    return tuple(tuple(members) for _, members in sorted(by_priority.items()))


def build_plan(priorities: Iterable[Iterable[Candidate]], model: str) -> Plan:
    """`model`: the name that the caller asked for."""
    choices: list[Choice] = []
    groups = []
    for candidates in priorities:
        first = len(choices)
        parties = [_build_party(candidate, model, choices) for candidate in candidates]
        groups.append(
            Group(
                weighted=tuple(party for party in parties if party.weight > 0),
                idle=tuple(party for party in parties if party.weight == 0),
                size=len(choices) - first,
            )
        )
    fixed = all(group.size == 1 for group in groups)
    return Plan(tuple(groups), tuple(choices), fixed, None if fixed else _find_pair(groups))


def _find_pair(groups: Sequence[Group]) -> Pair | None:
    if len(groups) != 1 or groups[0].size != 2 or len(groups[0].weighted) != 2:
        return None
    one, other = groups[0].weighted
    first, second = one.choices[0], other.choices[0]
    return Pair(one.weight, one.weight + other.weight, (first, second), (second, first))


def _build_party(candidate: Candidate, model: str, choices: list[Choice]) -> Party:
    """Enters the party's choices in `choices`, too."""
    wanted = candidate.model or model
    listed = candidate.models.get(wanted)
    upstream = wanted if listed is None else listed.upstream_name
    blend = None if listed is None else _blend_price(listed)
    most = None if listed is None else listed.max_output_tokens
    price = None if listed is None else listed.price
    first = len(choices)
    choices.extend(
        Choice(
            candidate.provider,
            endpoint,
            upstream,
            slot,
            blend_usd_picos=blend,
            max_output_tokens=most,
            price=price,
        )
        for slot, endpoint in enumerate(candidate.provider.endpoints, start=first)
    )
    return Party(candidate.weight, tuple(choices[first:]))


def _blend_price(model: Model) -> int | None:
    price = model.price
    return None if price is None else _INPUT_PARTS * price.input_usd_picos + price.output_usd_picos
