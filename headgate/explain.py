"""`headgate explain`: what the gateway would do with a request, from manifests alone. Nothing is sent.

    manifests -> Standalone -> table -> LiveTable -> who the caller is, which route
        -> explain_steps    which endpoints in which order, what each would be sent, what that costs at most
        -> explain_limits   what it reserves of each limit, and whether it ever has room

It asks the functions that the gateway asks: `LiveTable` for caller, route and plan, `bound_request` for what
a request may use, `charge` for limits, `translate` for the words of each provider. What it cannot know,
since it is not running, is left out: health, circuits, what limits have used. In: paths and a request. Out:
an Explanation, which `explain_text` writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
from msgspec import structs

from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.contract.table import FallbackCause, Route
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.contract.usd import format_usd
from gateway_runtime.engine.fallback import find_fallback
from gateway_runtime.engine.lookup import LiveTable, build_live_table
from gateway_runtime.providers.operation import Operation
from gateway_runtime.providers.operations import OPERATIONS
from gateway_runtime.providers.request_body import RequestBody, read_body
from gateway_runtime.providers.translation import Question
from gateway_runtime.server.bound import bound_request, measure_body
from gateway_runtime.server.request import counts_tokens
from headgate.explain_limits import LimitStep, build_maker, list_limits, reserves
from headgate.explain_steps import (
    DroppedTarget,
    FallbackStep,
    Step,
    list_dropped,
    list_fallbacks,
    list_steps,
)
from headgate.standalone import Standalone

_ANSWER_TOKENS: Final = 1024
"""Of a minimal body where the API insists on a number. A guess."""
_ESTIMATED: Final = "no provider of the route counts tokens, so the gateway estimates them"


class CannotExplain(Exception):
    """The question makes no sense; the message says what to ask instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What the request may use at most, all of its copies together."""

    reserved: bool
    """Held against the limits while the request runs. False: they count nothing but requests."""
    input_tokens: int
    output_tokens: int | None
    """None: nothing bounds it, since it says nothing itself and no limit counts it."""
    cost_usd: str | None
    """At the dearest endpoint, those of fallbacks included. None: no bound, or one of them has no known
    price.
    """
    copies: int
    """More than one where the route hedges."""
    output_limit: Mapping[str, int]
    """What the gateway puts into the request: the member and its value. Empty: nothing."""
    unpriced: tuple[str, ...]
    """Endpoints and models whose price is not known."""
    on_unpriced: str
    """Of the quota: Deny or Allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    model: str
    tenant: str
    served: bool
    reason: str
    """Why it is not served, or by which of the route's names it is."""
    gateways: int
    """So many share each amount."""
    route: str = ""
    strategy: str = ""
    max_attempts: int = 0
    unsupported: str = ""
    steps: tuple[Step, ...] = ()
    """In the order in which they are tried."""
    dropped: tuple[DroppedTarget, ...] = ()
    fallbacks: tuple[FallbackStep, ...] = ()
    need: Need | None = None
    limits: tuple[LimitStep, ...] = ()
    problems: tuple[str, ...] = ()
    """What is wrong with the manifests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be explained."""

    tenant: str | None
    """`namespace/name` of a TenantQuota; None takes the only one there is."""
    path: str
    """The caller's, such as /v1/messages."""
    data: bytes
    """The request's body."""
    now_unix_s: float
    """For overrides and the calendar."""
    gateways: int = 1
    """How many share each amount, having no store in common."""


def explain(paths: Sequence[Path], environment: Mapping[str, str], asked: Asked) -> Explanation:
    """Raises CannotExplain."""
    reload = Standalone(paths, environment, created="").reload()
    live = build_live_table(reload.compiled.table)
    explanation = explain_table(live, asked)
    dropped: tuple[DroppedTarget, ...] = ()
    if explanation.route:
        route = next(route for route in live.table.routes if route.id == explanation.route)
        dropped = list_dropped(reload, live, route)
    problems = tuple(map(str, reload.findings))
    return replace(explanation, dropped=dropped, problems=problems)


def explain_table(live: LiveTable, asked: Asked) -> Explanation:
    """Without what only manifests tell. Raises CannotExplain."""
    operation = OPERATIONS.get(asked.path)
    if operation is None:
        raise CannotExplain(f"no requests are served at {asked.path}: choose one of {', '.join(OPERATIONS)}")
    try:
        body = read_body(asked.data, operation.default_model)
    except GatewayError as error:
        raise CannotExplain(error.message) from error
    tenant = _find_tenant(live, asked.tenant)
    route = live.match_route(tenant, body.model)
    if route is None:
        return Explanation(
            model=body.model,
            tenant=tenant.id,
            served=False,
            reason=_explain_absence(live, tenant, body.model),
            gateways=asked.gateways,
        )
    return _explain_route(live, tenant, route, Question(operation, body, {}), asked)


def build_minimal_body(path: str, model: str) -> bytes:
    """One short request for the model, as the API at `path` takes it."""
    operation = OPERATIONS.get(path)
    members = {} if operation is None else _build_members(operation)
    return msgspec.json.encode({"model": model, **members})


def _build_members(operation: Operation) -> dict[str, object]:
    match operation.kind:
        case "embeddings":
            return {"input": "Hello"}
        case "rerank":
            return {"query": "Hello", "documents": ["Hello"]}
        case "other":
            return {"prompt": "Hello"} if operation.asks_usage else {"input": "Hello"}
    if operation.refers:
        return {"input": "Hello"}
    messages = [{"role": "user", "content": "Hello"}]
    if operation.manner == "anthropic" and operation.kind == "chat":
        return {"max_tokens": _ANSWER_TOKENS, "messages": messages}
    return {"messages": messages}


def _explain_route(
    live: LiveTable, tenant: Tenant, route: Route, question: Question, asked: Asked
) -> Explanation:
    maker = build_maker(asked.now_unix_s, asked.gateways)
    reserved = reserves(live, tenant, maker)
    size = measure_body(question.body)
    bounded = bound_request(live, tenant, route, question, size)
    copy = bound_request(live, tenant, structs.replace(route, hedge=None), question, size).bound
    is_bounded = reserved or bounded.said is None
    sent = bounded.question if reserved else question
    estimates = question.operation.kind == "count" and not counts_tokens(live, route)
    steps = () if estimates else list_steps(live, route, sent, copy if is_bounded else None)
    fallbacks = () if estimates else list_fallbacks(live, tenant, route, copy if is_bounded else None)
    limits = list_limits(live, tenant, maker, bounded.bound, asked.now_unix_s, reserved=reserved)
    refusal = next((step.refusal for step in limits if step.refusal and not step.shadow), "")
    if not estimates:
        refusal = refusal or _explain_dead_end(live, tenant, route, question.body.model, steps)
    most = bounded.bound
    return Explanation(
        model=question.body.model,
        tenant=tenant.id,
        served=not refusal,
        reason=refusal or (_ESTIMATED if estimates else _explain_match(route, question.body.model)),
        gateways=asked.gateways,
        route=route.id,
        strategy=route.strategy,
        max_attempts=route.retry.max_attempts,
        unsupported=route.unsupported,
        steps=steps,
        fallbacks=fallbacks,
        need=Need(
            reserved=reserved,
            input_tokens=most.input_tokens,
            output_tokens=most.output_tokens if is_bounded else None,
            cost_usd=format_usd(most.usd_picos) if is_bounded and most.usd_picos is not None else None,
            copies=most.input_tokens // copy.input_tokens if copy.input_tokens else 1,
            output_limit=_find_added(question.body, sent.body),
            unpriced=(
                *(f"{step.endpoint} ({step.model})" for step in steps if not step.priced),
                *(step.model for step in fallbacks if not step.priced),
            ),
            on_unpriced="Allow" if tenant.allow_unpriced else "Deny",
        ),
        limits=limits,
    )


def _find_added(asked: RequestBody, sent: RequestBody) -> Mapping[str, int]:
    """What the gateway says of the output by itself."""
    added = {name: value for name, value in sent.members.items() if asked.members.get(name) != value}
    return {name: msgspec.json.decode(value, type=int) for name, value in added.items()}


def _explain_dead_end(
    live: LiveTable, tenant: Tenant, route: Route, model: str, steps: Sequence[Step]
) -> str:
    """Empty where somebody can be asked."""
    if any(not step.refused for step in steps):
        return ""
    cause: FallbackCause = "Unsuitable" if steps else "Unavailable"
    is_malformed = any(step.code == ErrorCode.MALFORMED_BODY.id for step in steps)
    if not is_malformed and find_fallback(live, tenant, route, cause, [model]) is not None:
        return ""
    return "none of the endpoints can be asked it" if steps else "its route has no target that is served"


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
