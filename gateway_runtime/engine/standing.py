"""Where each endpoint of a plan stands for one request: availability, limits and circuits in, a Place out.

Asked by `balance` when not all endpoints are ready. What it finds out of the ordinary it notes in the trace.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple

from gateway_runtime.contract.ids import EndpointId
from gateway_runtime.engine.plan import Choice, Party, Plan
from gateway_runtime.engine.strategy import EndpointView
from gateway_runtime.engine.trace import Trace, Why


class Availability(Enum):
    READY = "ready"
    TRIAL = "trial"
    """The circuit is half open and its one trial is free."""
    DOUBTFUL = "doubtful"
    """The circuit lets requests through, but the active probe fails."""
    REFUSED = "refused"
    """The circuit is open, or its one trial is under way."""


class Place(Enum):
    FIT = "fit"
    """In its group's order."""
    DOUBTFUL = "doubtful"
    """After all that are fit."""
    LIMITED = "limited"
    """After those: the provider's own limit leaves no room."""
    LAST_RESORT = "last resort"
    """After everything: its circuit is open, but too many others' are, too."""
    OUT = "out"


class Standings(NamedTuple):
    """Each by `Choice.slot`."""

    places: Sequence[Place]
    limited_s: Sequence[float]
    """Seconds until its limit leaves room; 0 when it does."""


def judge_standings(
    plan: Plan,
    panic_percent: int,
    availability: Callable[[EndpointId], Availability],
    limited_s: Callable[[Choice], float] | None,
    view: Callable[[Choice], EndpointView] | None,
    trace: Trace | None,
) -> Standings:
    """`view` tells whose circuit is open longest; without it the order of the manifest stands for that."""
    states = [availability(choice.endpoint.id) for choice in plan.choices]
    waits = [0.0] * len(states) if limited_s is None else [limited_s(choice) for choice in plan.choices]
    places = [_place(state) for state in states]
    if Place.OUT in places:
        for group in plan.groups:
            for party in (*group.weighted, *group.idle):
                for choice in _find_last_resorts(party, places, view):
                    places[choice.slot] = Place.LAST_RESORT
    panic = _find_panic(plan, panic_percent, states) if Place.DOUBTFUL in places else None
    for slot in () if panic is None else panic.doubtful:
        places[slot] = Place.FIT
    for slot, wait_s in enumerate(waits):
        if wait_s > 0 and places[slot] is Place.FIT:
            places[slot] = Place.LIMITED
    if trace is not None:
        _note(trace, plan, places, waits, panic)
    return Standings(places, waits)


def _place(state: Availability) -> Place:
    """By comparing: a dictionary would hash the enum, which is Python code and takes three times as long."""
    if state is Availability.READY or state is Availability.TRIAL:
        return Place.FIT
    return Place.DOUBTFUL if state is Availability.DOUBTFUL else Place.OUT


def opened_s(choice: Choice, view: Callable[[Choice], EndpointView] | None) -> float:
    return 0.0 if view is None else view(choice).opened_s


def _find_last_resorts(
    party: Party, places: Sequence[Place], view: Callable[[Choice], EndpointView] | None
) -> Sequence[Choice]:
    """Of a target's endpoints, which are all that its provider has."""
    refused = [choice for choice in party.choices if places[choice.slot] is Place.OUT]
    if not refused:
        return ()
    percent = refused[0].provider.circuit.max_open_percent
    surplus = len(refused) - len(party.choices) * percent // 100
    if surplus <= 0:
        return ()
    return sorted(refused, key=lambda choice: opened_s(choice, view))[:surplus]


class _Panic(NamedTuple):
    doubtful: Sequence[int]
    """Slots that count as ready now."""
    ready: int
    size: int


def _find_panic(plan: Plan, percent: int, states: Sequence[Availability]) -> _Panic | None:
    """None: nothing changes. Only the last group that has a ready endpoint can be in panic: an earlier one
    hands its traffic on, as Envoy does, and a later one has none left that could be crushed.
    """
    begin = len(states)
    for group in reversed(plan.groups):
        begin -= group.size
        slots = range(begin, begin + group.size)
        ready = sum(states[slot] is Availability.READY for slot in slots)
        if ready:
            if ready * 100 >= percent * group.size:
                return None
            doubtful = [slot for slot in slots if states[slot] is Availability.DOUBTFUL]
            return _Panic(doubtful, ready, group.size) if doubtful else None
    return None


def _note(
    trace: Trace, plan: Plan, places: Sequence[Place], waits: Sequence[float], panic: _Panic | None
) -> None:
    for choice, place in zip(plan.choices, places, strict=True):
        endpoint = choice.endpoint.id
        match place:
            case Place.OUT:
                trace.note(Why.CIRCUIT_OPEN, endpoint)
            case Place.LAST_RESORT:
                trace.note(Why.LAST_RESORT, endpoint)
            case Place.LIMITED:
                trace.note(Why.LIMIT_LEARNT, endpoint, waits[choice.slot])
            case Place.DOUBTFUL:
                trace.note(Why.DOUBTFUL, endpoint)
            case Place.FIT if panic is not None and choice.slot in panic.doubtful:
                trace.note(Why.PANIC, endpoint, f"{panic.ready} of {panic.size}")
