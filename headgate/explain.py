"""`headgate explain`: what the gateway would do with a request, from manifests alone. Nothing is sent.

    manifests -> Standalone -> table -> LiveTable -> who the caller is, which route, which targets in which
    order, and what each would be sent

It asks the functions that the gateway asks: `LiveTable` for caller, route and plan, `translate` for the
words of each provider. What it cannot know, since it is not running, is left out: health, circuits, what
limits have used. In: paths and a request. Out: an Explanation, as text or JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import msgspec

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.contract.table import Limit, Route, Tenant
from gateway_runtime.engine.lookup import LiveTable, build_live_table
from gateway_runtime.engine.plan import Choice, Plan
from gateway_runtime.providers.dialect import Stamp
from gateway_runtime.providers.operations import OPERATIONS
from gateway_runtime.providers.request_body import RequestBody, read_body
from gateway_runtime.providers.translation import Question, translate
from gateway_runtime.server.address import find_target
from gateway_runtime.server.wires import wire_of
from headgate.standalone import Standalone


class CannotExplain(Exception):
    """The question makes no sense; the message says what to ask instead."""


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
    url: str = ""
    dropped: tuple[str, ...] = ()
    """What of the request the provider would not hear of."""
    refused: str = ""
    """Why it cannot be asked this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    model: str
    tenant: str
    served: bool
    reason: str
    """Why it is not served, or by which of the route's names it is."""
    route: str = ""
    strategy: str = ""
    max_attempts: int = 0
    unsupported: str = ""
    steps: tuple[Step, ...] = ()
    fallbacks: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    problems: tuple[str, ...] = field(default=())
    """What is wrong with the manifests."""


def explain(
    paths: Sequence[Path], environment: Mapping[str, str], tenant_name: str | None, path: str, data: bytes
) -> Explanation:
    """tenant_name: `namespace/name` of a TenantQuota; None takes the only one there is. path: the caller's,
    such as /v1/messages. data: the request's body. Raises CannotExplain.
    """
    reload = Standalone(paths, environment, created="").reload()
    live = build_live_table(reload.compiled.table)
    operation = OPERATIONS.get(path)
    if operation is None:
        raise CannotExplain(f"no requests are served at {path}: choose one of {', '.join(OPERATIONS)}")
    try:
        body = read_body(data)
    except GatewayError as error:
        raise CannotExplain(error.message) from error
    tenant = _find_tenant(live, tenant_name)
    problems = tuple(map(str, reload.findings))
    route = live.match_route(tenant, body.model)
    if route is None:
        reason = _explain_absence(live, tenant, body.model)
        return Explanation(model=body.model, tenant=tenant.id, served=False, reason=reason, problems=problems)
    steps = _list_steps(live, route, Question(operation, body, {}), body)
    return Explanation(
        model=body.model,
        tenant=tenant.id,
        served=any(not step.refused for step in steps),
        reason=_explain_match(route, body.model),
        route=route.id,
        strategy=route.strategy,
        max_attempts=route.retry.max_attempts,
        unsupported=route.unsupported,
        steps=steps,
        fallbacks=tuple(_list_fallbacks(live, tenant, route)),
        limits=tuple(_describe_limit(limit) for limit in tenant.limits),
        problems=problems,
    )


def build_text(explanation: Explanation) -> str:
    e = explanation
    lines = [f'model "{e.model}" for tenant {e.tenant}: {"served" if e.served else "not served"}; {e.reason}']
    if e.route:
        lines.append(
            f"route {e.route}: strategy {e.strategy}, up to {e.max_attempts} attempts, "
            f"what a provider cannot express is {'dropped' if e.unsupported == 'Drop' else 'refused'}"
        )
    for number, step in enumerate(e.steps, start=1):
        share = "" if step.share is None else f", {step.share:g} % of its priority"
        lines.append(
            f"  {number}. {step.endpoint} ({step.type}), priority {step.priority}{share}: {step.model}"
        )
        if step.refused:
            lines.append(f"     cannot be asked: {step.refused}")
        else:
            lines.append(f"     POST {step.url}")
        if step.dropped:
            lines.append(f"     without {', '.join(step.dropped)}")
    lines += [f"  then {fallback}" for fallback in e.fallbacks]
    lines += [f"  limit {limit}" for limit in e.limits]
    return "\n".join([*lines, *e.problems])


def build_json(explanation: Explanation) -> str:
    return msgspec.json.format(msgspec.json.encode(asdict(explanation)), indent=2).decode()


def _find_tenant(live: LiveTable, name: str | None) -> Tenant:
    tenants = {tenant.id: tenant for tenant in live.table.tenants}
    if not tenants:
        raise CannotExplain("there is no TenantQuota in the manifests, so nobody is served: add one")
    if name is not None:
        found = [tenant for key, tenant in tenants.items() if name in (key, key.partition("/")[2])]
        if len(found) == 1:
            return found[0]
        raise CannotExplain(f'no TenantQuota "{name}" serves anybody; there are {", ".join(tenants)}')
    if len(tenants) > 1:
        raise CannotExplain(
            f"there are {len(tenants)} TenantQuotas: choose one of {', '.join(tenants)} with --tenant"
        )
    return next(iter(tenants.values()))


def _explain_absence(live: LiveTable, tenant: Tenant, model: str) -> str:
    usable = live.models_for(tenant)
    if live.find_route(tenant.namespace, model) is not None:
        allowed = ", ".join(tenant.models or ()) or "nothing"
        return f"a route serves it, and the tenant's list of models does not name it: {allowed}"
    names = ", ".join(usable) or "none"
    return f"no route of namespace {tenant.namespace} names it; models that this tenant may use: {names}"


def _explain_match(route: Route, model: str) -> str:
    if route.inferred:
        return f"no route names it; it is inferred from its name ({', '.join(route.models)})"
    return "the route names it" if model in route.models else f"it matches {', '.join(route.models)}"


def _list_steps(live: LiveTable, route: Route, question: Question, body: RequestBody) -> tuple[Step, ...]:
    plan = live.plan(route, body.model)
    shares = _share_out(plan) if route.strategy in ("Weighted", "RoundRobin") else {}
    return tuple(
        _describe(choice, priority, shares.get(choice.slot), route, question)
        for priority, group in enumerate(plan.groups)
        for party in (*group.weighted, *group.idle)
        for choice in party.choices
    )


def _share_out(plan: Plan) -> dict[int, float]:
    shares = {}
    for group in plan.groups:
        total = sum(party.weight for party in group.weighted)
        for party in group.weighted:
            for choice in party.choices:
                shares[choice.slot] = round(100 * party.weight / total / len(party.choices), 1)
    return shares


def _describe(choice: Choice, priority: int, share: float | None, route: Route, question: Question) -> Step:
    step = Step(
        endpoint=choice.endpoint.id,
        type=choice.provider.type,
        model=choice.model,
        priority=priority,
        share=share,
    )
    target = find_target(choice, drop=route.unsupported == "Drop")
    try:
        wire = wire_of(choice.provider, choice.endpoint)
        stamp = Stamp("explain", 0, choice.model)
        made = translate(question, wire, target, stamp, ask_usage=choice.provider.stream_usage)
    except GatewayError as error:
        return replace(step, refused=error.message)
    return replace(step, url=choice.endpoint.url + made.outgoing.path, dropped=made.outgoing.dropped)


def _describe_limit(limit: Limit) -> str:
    amount = limit.amount
    words = {
        "Requests": f"{amount} requests",
        "InputTokens": f"{amount} input tokens",
        "OutputTokens": f"{amount} output tokens",
        "TotalTokens": f"{amount} tokens",
        "USD": f"{Decimal(amount).scaleb(-12).normalize():f} US dollars",
        "Concurrency": f"{amount} requests at once",
    }
    window = f" in any {limit.window_s:g} s" if limit.window_s else ""
    return f"{limit.name}: {words[limit.resource]}{window}{', refuses nobody' if limit.shadow else ''}"


def _list_fallbacks(live: LiveTable, tenant: Tenant, route: Route) -> list[str]:
    listed = []
    for rule in route.fallbacks:
        causes = "whatever the cause" if rule.causes is None else f"on {', '.join(rule.causes)}"
        found = live.match_route(tenant, rule.model)
        where = "which this tenant may not use" if found is None else f"by route {found.id}"
        listed.append(f"{rule.model} ({causes}), {where}")
    return listed
