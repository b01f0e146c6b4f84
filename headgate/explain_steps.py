"""Where a request may go: a route in, its endpoints in the order in which they are tried, what each would be
asked and what that costs at most, what came of its other targets, and the models that come after.

`explain` asks. The order is the one of `engine.strategy` where all endpoints are healthy; where a draw
decides between targets they stand as in the manifest, each with its share.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.contract.table import Route, Strategy
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.contract.usd import format_usd
from gateway_runtime.engine.amounts import Bound
from gateway_runtime.engine.lookup import LiveTable
from gateway_runtime.engine.plan import Choice, Group, Party, Plan
from gateway_runtime.engine.strategy import Knowledge, arrange
from gateway_runtime.providers.dialect import Stamp
from gateway_runtime.providers.translation import Question, translate
from gateway_runtime.server.address import find_target
from gateway_runtime.server.bound import bound_cost
from gateway_runtime.server.cost import find_prices
from gateway_runtime.server.wires import wire_of
from headgate.standalone import Reload

_TURNS: Final[Mapping[Strategy, str]] = {
    "LeastBusy": "by how busy it is",
    "Latency": "by its latency",
    "Cost": "by its price",
}
"""Of strategies that go by more than weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An endpoint that the request may go to."""

    endpoint: str
    type: str
    model: str
    """As the provider calls it."""
    priority: int
    share: float | None
    """Of its priority's requests, in percent, as far as weights alone decide; None: another rule does."""
    turn: str
    """What decides when it is tried, within its priority."""
    url: str = ""
    dropped: tuple[str, ...] = ()
    """What of the request the provider would not hear of."""
    refused: str = ""
    """Why it cannot be asked this."""
    code: str = ""
    """Of that, `HGnnnn`."""
    priced: bool = True
    """What its model costs is known."""
    cost_usd: str | None = None
    """Of one request there, at most. None: it has no bound, or no known price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedTarget:
    """A target of the manifest that no request goes to."""

    field: str
    provider: str
    reasons: tuple[str, ...]
    """Findings, with their places in the files; empty: its provider is not served, and has the finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackStep:
    """Another model, asked for when the route gives up."""

    model: str
    causes: tuple[str, ...] | None
    """None: whatever the cause."""
    route: str | None
    """None: this tenant may not use the model, or nothing serves it."""
    endpoints: int = 0
    """How many may be asked there."""
    priced: bool = True
    cost_usd: str | None = None
    """Of the dearest of its endpoints; as of a Step."""


class Cost(NamedTuple):
    """What a Bound costs at one or several endpoints."""

    priced: bool
    usd: str | None


def list_steps(live: LiveTable, route: Route, question: Question, bound: Bound | None) -> tuple[Step, ...]:
    """bound: of one copy of the request; None: it has none."""
    plan = live.plan(route, question.body.model)
    shares = _share_out(plan) if route.strategy in ("Weighted", "RoundRobin") else {}
    priorities = sorted({target.priority for target in route.targets})
    return tuple(
        _describe(choice, priority, shares.get(choice.slot), party, route, question, bound)
        for priority, group in zip(priorities, plan.groups, strict=True)
        for party in (*_order_parties(route.strategy, group), *group.idle)
        for choice in party.choices
    )


def list_dropped(reload: Reload, live: LiveTable, route: Route) -> tuple[DroppedTarget, ...]:
    """Those that the manifest has and the table has not. None of a route that nobody wrote."""
    namespace, _, name = route.id.partition("/")
    manifests = [item for item in reload.reading.objects if item.id == ("ModelRoute", namespace, name)]
    return tuple(
        dropped for item in manifests for dropped in _find_dropped(item.raw["spec"], reload, live, route)
    )


def list_fallbacks(
    live: LiveTable, tenant: Tenant, route: Route, bound: Bound | None
) -> tuple[FallbackStep, ...]:
    listed = []
    for rule in route.fallbacks:
        found = live.match_route(tenant, rule.model)
        step = FallbackStep(
            model=rule.model,
            causes=None if rule.causes is None else tuple(rule.causes),
            route=None if found is None else found.id,
        )
        if found is not None:
            choices = live.plan(found, rule.model).choices
            cost = find_cost(choices, bound)
            step = replace(step, endpoints=len(choices), priced=cost.priced, cost_usd=cost.usd)
        listed.append(step)
    return tuple(listed)


def find_cost(choices: Sequence[Choice], bound: Bound | None) -> Cost:
    """Of the dearest."""
    if any(find_prices(choice) is None for choice in choices):
        return Cost(priced=False, usd=None)
    if bound is None or not choices:
        return Cost(priced=True, usd=None)
    picos = bound_cost(list(choices), bound.input_tokens, bound.output_tokens)
    return Cost(priced=True, usd=None if picos is None else format_usd(picos))


def _order_parties(strategy: Strategy, group: Group) -> Sequence[Party]:
    if not group.weighted:
        return ()
    order = arrange(strategy, group.weighted, Knowledge(lambda: 0.0))
    place = {choice.slot: number for number, choice in enumerate(order)}
    return sorted(group.weighted, key=lambda party: min(place[choice.slot] for choice in party.choices))


def _share_out(plan: Plan) -> dict[int, float]:
    shares = {}
    for group in plan.groups:
        total = sum(party.weight for party in group.weighted)
        for party in group.weighted:
            for choice in party.choices:
                shares[choice.slot] = round(100 * party.weight / total / len(party.choices), 1)
    return shares


def _describe(
    choice: Choice,
    priority: int,
    share: float | None,
    party: Party,
    route: Route,
    question: Question,
    bound: Bound | None,
) -> Step:
    cost = find_cost([choice], bound)
    step = Step(
        endpoint=choice.endpoint.id,
        type=choice.provider.type,
        model=choice.model,
        priority=priority,
        share=share,
        turn=_describe_turn(route.strategy, share, party),
        priced=cost.priced,
        cost_usd=cost.usd,
    )
    target = find_target(choice, drop=route.unsupported == "Drop")
    try:
        wire = wire_of(choice.provider, choice.endpoint)
        stamp = Stamp("explain", 0, choice.model)
        made = translate(question, wire, target, stamp, ask_usage=choice.provider.stream_usage)
    except GatewayError as error:
        return replace(step, refused=error.message, code=error.code.id)
    return replace(step, url=choice.endpoint.url + made.outgoing.path, dropped=made.outgoing.dropped)


def _describe_turn(strategy: Strategy, share: float | None, party: Party) -> str:
    if party.weight == 0:
        return "last of its priority"
    return f"{share:g} % of its priority" if share is not None else _TURNS[strategy]


def _find_dropped(
    spec: Mapping[str, object], reload: Reload, live: LiveTable, route: Route
) -> Iterator[DroppedTarget]:
    targets = spec.get("targets")
    for number, target in enumerate(targets if isinstance(targets, list) else ()):
        field, ref = f"spec.targets[{number}]", target["providerRef"]
        provider = f"{ref.get('namespace') or route.namespace}/{ref['name']}"
        found = [f for f in reload.findings if f.object == f"ModelRoute {route.id}"]
        own = tuple(str(finding) for finding in found if finding.field.startswith(field))
        if own or provider not in live.providers_by_id:
            yield DroppedTarget(field=field, provider=provider, reasons=own)
