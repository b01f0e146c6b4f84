"""Which endpoint first, and which after it: a route and what is known of its endpoints in, an order out.

`server` calls `order_choices` once per request and walks down the result until an attempt succeeds. Priority
groups come in ascending order; within a group the route's strategy decides (see `strategy`), and the rest is
the order of failing over. Chance is an argument.

    what is known                          where it stands
    ready, or free for a trial             in its group's order
    its probe fails                        after all of those; in a panic, among them
    its limit is used up (`learnt`)        after those, the one that frees first before the others
    its circuit refuses                    nowhere; beyond the provider's maxOpenPercent, at the very end

The subtle rule: an endpoint whose probe fails is doubtful, not refused. It is tried after everything else,
because a probe that is wrong about all endpoints must not stop the traffic; an open circuit has seen real
requests fail and is believed.
"""

from collections.abc import Callable, Sequence

from msgspec import structs

from gateway_runtime.contract.ids import EndpointId
from gateway_runtime.contract.table import Route, Strategy
from gateway_runtime.engine.lookup import LiveTable
from gateway_runtime.engine.plan import Choice as Choice  # others know these from here
from gateway_runtime.engine.plan import Party, Plan
from gateway_runtime.engine.rotation import Rotation
from gateway_runtime.engine.standing import Availability as Availability
from gateway_runtime.engine.standing import Place, judge_standings, opened_s
from gateway_runtime.engine.strategy import EndpointView as EndpointView
from gateway_runtime.engine.strategy import Knowledge as Knowledge
from gateway_runtime.engine.strategy import arrange, shuffle
from gateway_runtime.engine.trace import Trace


def order_choices(
    route: Route,
    model: str,
    live: LiveTable,
    availability: Callable[[EndpointId], Availability],
    draw: Callable[[], float],
    *,
    view: Callable[[Choice], EndpointView] | None = None,
    rotation: Rotation | None = None,
    limited_s: Callable[[Choice], float] | None = None,
    trace: Trace | None = None,
) -> Sequence[Choice]:
    """All endpoints worth trying, best first; empty when the route has none, or all of them are refused. Not
    to be changed: where there is nothing to choose it is the same object for every request.

    `model` is the name that the caller asked for. `draw` gives numbers in [0, 1); it is not called where
    there is nothing to choose. `view` is asked by the strategies LeastBusy and Latency and for circuits that
    must not refuse, `rotation` by RoundRobin. limited_s: seconds until the provider's own limit leaves room
    for this choice, 0 when it does; None when no limit is known to be used up, which is the common case.
    """
    plan = live.plan(route, model)
    if _are_all_ready(plan, availability) and (limited_s is None or not any(map(limited_s, plan.choices))):
        return order_when_ready(route.strategy, plan, Knowledge(draw, view, rotation))
    places, waits = judge_standings(plan, route.panic_percent, availability, limited_s, view, trace)
    return _order_by_place(route.strategy, plan, places, waits, Knowledge(draw, view, rotation))


def order_when_ready(strategy: Strategy, plan: Plan, known: Knowledge) -> Sequence[Choice]:
    """The same for a plan all of whose endpoints are ready, where no limit is known to be used up."""
    if plan.is_fixed:
        return plan.choices
    pair = plan.pair
    if pair is not None and strategy == "Weighted":  # 0.2 µs instead of 1.2
        return pair.first if known.draw() * pair.total < pair.weight else pair.second
    order: list[Choice] = []
    for group in plan.groups:
        _extend(order, strategy, group.weighted, group.idle, known)
    return order


def _are_all_ready(plan: Plan, availability: Callable[[EndpointId], Availability]) -> bool:
    ready = Availability.READY
    for choice in plan.choices:  # noqa: SIM110 (`all` takes a generator, and so 0.35 µs instead of 0.15)
        if availability(choice.endpoint.id) is not ready:
            return False
    return True


def _order_by_place(
    strategy: Strategy, plan: Plan, places: Sequence[Place], waits: Sequence[float], known: Knowledge
) -> Sequence[Choice]:
    order: list[Choice] = []
    for place in (Place.FIT, Place.DOUBTFUL):
        for group in plan.groups if place in places else ():
            weighted = _select(group.weighted, places, place)
            _extend(order, strategy, weighted, _select(group.idle, places, place), known)
    if Place.LIMITED in places:
        limited = [choice for choice in plan.choices if places[choice.slot] is Place.LIMITED]
        order += sorted(limited, key=lambda choice: waits[choice.slot])
    if Place.LAST_RESORT in places:
        opened = [choice for choice in plan.choices if places[choice.slot] is Place.LAST_RESORT]
        opened.sort(key=lambda choice: opened_s(choice, known.view))
        order += [structs.replace(choice, last_resort=True) for choice in opened]
    return order


def _extend(
    order: list[Choice],
    strategy: Strategy,
    weighted: Sequence[Party],
    idle: Sequence[Party],
    known: Knowledge,
) -> None:
    if weighted:
        order += arrange(strategy, weighted, known)
    for party in shuffle(idle, known.draw):
        order += shuffle(party.choices, known.draw)


def _select(parties: Sequence[Party], places: Sequence[Place], wanted: Place) -> Sequence[Party]:
    """The parties as far as they stand in this place."""
    fit = [(p.weight, tuple(c for c in p.choices if places[c.slot] is wanted)) for p in parties]
    return [Party(weight, choices) for weight, choices in fit if choices]
