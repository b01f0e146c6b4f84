"""Which other model is asked when a route gives up."""

from collections.abc import Collection, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway_runtime.contract.table import FallbackCause, FallbackRule
from gateway_runtime.contract.tenant import Tenant
from gateway_runtime.engine.fallback import Fallback, find_fallback
from gateway_runtime.engine.lookup import LiveTable, build_live_table
from gateway_runtime.engine.trace import Trace
from tests.contract.tables import build_route, build_table, build_tenant

ANYONE = build_tenant("key")
TO_B, TO_C = FallbackRule(model="b"), FallbackRule(model="c")
SLOW_TO_B = FallbackRule(model="b", causes=("Timeout",))


def build(*rules: FallbackRule, tenant: Tenant = ANYONE) -> LiveTable:
    """Routes for a, b, and c; a has the fallbacks, and b has one to a."""
    a, b, c = (build_route(name, name=name) for name in "abc")
    routes = [
        structs.replace(a, fallbacks=rules),
        structs.replace(b, fallbacks=(FallbackRule(model="a"),)),
        c,
    ]
    return build_live_table(build_table(routes=routes, tenants=[tenant]))


def find(
    live: LiveTable, cause: FallbackCause, tried: Collection[str] = ("a",), tenant: Tenant = ANYONE
) -> str | None:
    asked = live.match_route(ANYONE, "a")
    assert asked is not None
    found = find_fallback(live, tenant, asked, cause, tried)
    return None if found is None else found.model


@pytest.mark.parametrize(
    ("rules", "cause", "tried", "expected"),
    [
        ([], "ServerError", "a", None),
        ([TO_B], "ServerError", "a", "b"),
        ([TO_B], "Unavailable", "a", "b"),
        ([TO_B], "CredentialRefused", "a", "b"),
        ([TO_B, TO_C], "Timeout", "a", "b"),
        ([TO_B, TO_C], "Timeout", "ab", "c"),
        ([TO_B, TO_C], "Timeout", "abc", None),
        ([SLOW_TO_B, TO_C], "Timeout", "a", "b"),
        ([SLOW_TO_B, TO_C], "ServerError", "a", "c"),
        ([FallbackRule(model="gone"), TO_C], "Timeout", "a", "c"),
    ],
)
def test_the_first_model_that_fits_the_cause_and_was_not_tried_is_next(
    rules: Sequence[FallbackRule], cause: FallbackCause, tried: str, expected: str | None
) -> None:
    assert find(build(*rules), cause, tried) == expected


def test_the_tenants_allow_list_holds_for_fallbacks() -> None:
    tenant = build_tenant("key", models=["a", "c"])

    assert find(build(TO_B, TO_C, tenant=tenant), "Timeout", tenant=tenant) == "c"


def test_the_answer_has_the_route_and_the_reason_and_the_trace_the_line() -> None:
    live = build(TO_B)
    asked, route = live.match_route(ANYONE, "a"), live.match_route(ANYONE, "b")
    assert asked is not None
    assert route is not None
    trace = Trace()
    found = find_fallback(live, ANYONE, asked, "RateLimited", ["a"], trace=trace)

    assert found == Fallback("b", route, "RateLimited")
    assert trace.lines() == ("fallback to model b: RateLimited",)


@given(st.lists(st.sampled_from(["a", "b", "c", "gone"]), max_size=8))
def test_following_fallbacks_ends_and_asks_no_model_twice(models: list[str]) -> None:
    live = build(*(FallbackRule(model=model) for model in models))
    tried = ["a"]
    while (model := find(live, "Timeout", tried)) is not None:
        tried.append(model)

        assert len(tried) == len(set(tried))
    assert tried == ["a", *dict.fromkeys(model for model in models if model in ("b", "c"))]
