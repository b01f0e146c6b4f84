"""Rows of a ledger for tests: plain defaults, and hypothesis strategies over them."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from gateway_runtime.ledger.query import BY, UsageQuery
from gateway_runtime.ledger.row import LARGEST, UsageRow

NOON_MS = 1_793_534_400_000
"""2026-11-01T12:00:00Z."""
DAY_MS = 86_400_000

PLAIN = UsageRow(
    request_id="r",
    ended_unix_ms=NOON_MS,
    tenant="chat/team",
    user=None,
    key_id="0123456789ab",
    route="chat/route",
    provider="chat/openai",
    model="gpt",
    upstream_model="gpt-4o-mini",
    operation="/v1/chat/completions",
    status=200,
    error=None,
    stream=False,
    input_tokens=10,
    output_tokens=4,
    cached_tokens=0,
    cache_write_tokens=0,
    reasoning_tokens=0,
    cost_usd_picos=3_900_000,
    priced=True,
    estimated=False,
    duration_ms=12,
    first_token_ms=12,
    attempts=1,
    fallback=None,
)


def build_row(request_id: str = "r", **members: Any) -> UsageRow:
    return msgspec.structs.replace(PLAIN, request_id=request_id, **members)


def build_rows(count: int, prefix: str = "r") -> list[UsageRow]:
    return [build_row(f"{prefix}{number}") for number in range(count)]


def ask(*by: str, tenant: str | None = None, since: int = 0, until: int = 2**60) -> UsageQuery:
    return UsageQuery(by=by, since_unix_ms=since, until_unix_ms=until, tenant=tenant)


_names = st.sampled_from(["a", "b", "c,d", 'e"f', "ü"])
_counts = st.one_of(st.integers(0, 10_000), st.integers(0, 2**53 - 1))


_tags = st.sampled_from([None, '{"team":"a"}', '{"team":"b","unit":"c"}', "{}"])


@st.composite
def some_rows(draw: st.DrawFn, least: int = 0) -> list[UsageRow]:
    def one(number: int) -> UsageRow:
        known = draw(st.booleans())
        tokens = {
            name: draw(_counts) if known else None
            for name in ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens")
        }
        return build_row(
            str(number),
            ended_unix_ms=NOON_MS + draw(st.integers(-3, 3)) * DAY_MS,
            tenant=draw(_names),
            user=draw(st.none() | _names),
            key_id=draw(st.none() | _names),
            model=draw(_names),
            provider=draw(_names),
            status=draw(st.sampled_from([200, 429, 499, 502])),
            error=draw(st.sampled_from([None, "HG1016"])),
            cost_usd_picos=draw(st.none() | st.integers(0, LARGEST)) if known else None,
            priced=draw(st.booleans()),
            estimated=draw(st.booleans()),
            tags=draw(_tags),
            **tokens,
        )

    return [one(number) for number in range(draw(st.integers(least, 12)))]


some_groups = st.lists(st.sampled_from([*BY, "tag:team"]), unique=True, max_size=3)
