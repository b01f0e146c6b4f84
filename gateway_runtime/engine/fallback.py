"""Which other model is asked when a route gives up: the cause in, a route and the reason out.

`server` calls `find_fallback` when no attempt of a route is left or worth making, as long as no byte has gone
to the caller, and goes on with the route that it gets as if the caller had asked for that model.

The subtle rule: only the route that the caller asked for has a say; the fallbacks of a fallback are not
followed. Two routes may so be each other's, no request runs in circles, and which models a request can end
at, and what it can cost, is read off one manifest.
"""

from collections.abc import Collection
from typing import NamedTuple

from gateway_runtime.contract.table import FallbackCause, Route
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.engine.lookup import LiveTable
from gateway_runtime.engine.trace import Trace, Why


class Fallback(NamedTuple):
    model: str
    route: Route
    reason: FallbackCause


def find_fallback(
    live: LiveTable,
    tenant: Tenant,
    asked: Route,
    cause: FallbackCause,
    tried: Collection[str],
    *,
    trace: Trace | None = None,
) -> Fallback | None:
    """None: the request has failed for good.

    asked: the route of the model that the caller named. cause: why the latest route gave up, that is
    `retry.cause_of` its last outcome, or Unavailable when it made no attempt. tried: the models that were
    asked for already, the caller's own among them.
    """
    for rule in asked.fallbacks:
        if rule.model in tried or (rule.causes is not None and cause not in rule.causes):
            continue
        route = live.match_route(tenant, rule.model)
        if route is not None:
            if trace is not None:
                trace.note(Why.FALLBACK, rule.model, cause)
            return Fallback(rule.model, route, cause)
    return None
