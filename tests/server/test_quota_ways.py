"""A tenant with limits gets the same whichever way its request takes through the gateway: the same answer and
headers, the same held while it runs and settled when it is over, the same row in the ledger.

An ordinary request has no task; one that comes in two pieces has one, and so has every request of a gateway
that tells its decisions.
"""

import asyncio
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import pytest
from msgspec.structs import replace

from gateway_runtime.contract.table import Model
from gateway_runtime.contract.tenant import Limit, Override, Tenant
from gateway_runtime.engine.limits import LimitState
from gateway_runtime.ledger.row import UsageRow
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.providers.operations import CHAT as CHAT_API
from gateway_runtime.providers.operations import MESSAGES
from tests.server.ledgers import PRICED, read_rows, with_ledger
from tests.server.quotas import AT_ONCE, RPM, TPM, GatedProvider, build, family, gated, quota
from tests.server.rig import CHAT, Answer, Rig, serving
from tests.server.test_express import EXPRESS, ORDINARY, Ways, calling
from tests.server.test_express import ways as ways  # a fixture

Way = Literal["at once", "in pieces", "telling decisions"]
WAYS: tuple[Way, ...] = ("at once", "in pieces", "telling decisions")
MONEY = Limit(name="budget", amount=10**12, window_s=0.0, resource="USD", calendar="month")
SPLIT = (
    Limit(name="in", amount=9000, window_s=60.0, resource="InputTokens"),
    Limit(name="out", amount=9000, window_s=3600.0, resource="OutputTokens"),
)
VARYING = {
    "date",
    "request-id",
    "x-headgate-request-id",
    "x-headgate-overhead-ms",
    "x-headgate-decisions",
    "anthropic-ratelimit-requests-reset",
    "anthropic-ratelimit-tokens-reset",
}
UNSTABLE = {"request_id", "ended_unix_ms", "duration_ms", "first_token_ms"}
MOMENTS = re.compile(rb'"created":\d+|Try again in [0-9.]+ s')


class Seen(NamedTuple):
    """Of one request."""

    answer: Answer
    sent: str
    """What the provider was asked."""
    running: tuple[LimitState, ...]
    over: tuple[LimitState, ...]


class Story(NamedTuple):
    seen: list[Seen]
    rows: list[dict[str, Any]]


def look(rig: Rig) -> tuple[LimitState, ...]:
    """All limits of all tenants, without the time, which is never the same."""
    running = rig.gateway._reloader.running
    assert running is not None
    state = rig.gateway._state
    now_s = state.clock.now()
    return tuple(
        replace(built.state(now_s), reset_s=0.0)
        for owner in running.live.table.tenants
        for _, built in state.list_limits(owner)
    )


def comparable(answer: Answer) -> Answer:
    headers = {name: value for name, value in answer.headers.items() if name not in VARYING}
    return Answer(answer.status, headers, MOMENTS.sub(b"", answer.body))


def stable(row: UsageRow) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(row).items() if name not in UNSTABLE}


async def tell(
    way: Way,
    ways: Ways,
    tenants: Sequence[Tenant],
    bodies: Sequence[dict[str, Any]],
    ledger: Path,
    model: Model = PRICED,
    path: str = CHAT_API.path,
) -> Story:
    """The requests, one after the other, at a gateway that has served one before."""
    chosen = dataclasses.replace(with_ledger(ledger), debug_headers=way == "telling decisions")
    seen = []
    async with gated() as upstream:
        upstream.script = FakeScript(answer="one two three")
        first = build(upstream, *tenants, models=[model])
        async with serving(first, chosen) as rig, calling(rig) as caller:
            for number, body in enumerate([SAYS, *bodies]):
                ways.forget()
                upstream.seen.latest.clear()
                ask = caller.ask_in_pieces if way == "in pieces" else caller.ask
                asking = asyncio.create_task(ask(msgspec.json.encode(body), path=path))
                running = await wait_and_look(upstream, asking, rig)
                answer = await asking
                await rig.gateway._front.idle.wait()
                if number:
                    assert ways == (EXPRESS if way == "at once" and answer.status == 200 else ORDINARY)
                    sent = upstream.seen.latest[0].body if upstream.seen.latest else ""
                    seen.append(Seen(comparable(answer), sent, running, look(rig)))
    return Story(seen, [stable(row) for row in read_rows(ledger)])


async def wait_and_look(
    upstream: GatedProvider, asking: "asyncio.Task[Answer]", rig: Rig
) -> tuple[LimitState, ...]:
    """How limits stand while the provider has the request; or, if it never gets it, in the end."""
    came = asyncio.create_task(upstream.wait_for(1))
    await asyncio.wait((came, asking), return_when=asyncio.FIRST_COMPLETED)
    running = look(rig)
    if came.done():
        upstream.release()
    else:
        came.cancel()
    return running


SAYS = {**CHAT, "max_tokens": 50}
SITUATIONS: dict[str, tuple[Sequence[Tenant], Sequence[dict[str, Any]]]] = {
    "no limits": ([quota()], [CHAT]),
    "requests alone": ([quota(replace(RPM, amount=9))], [CHAT, CHAT]),
    "every resource": ([quota(replace(RPM, amount=9), TPM, *SPLIT, MONEY, AT_ONCE)], [SAYS, SAYS]),
    "tokens that differ each time": (
        [quota(replace(TPM, amount=50_000))],
        [CHAT, SAYS, {**SAYS, "max_tokens": 70}, CHAT],
    ),
    "an amount that a request exceeds": ([quota(replace(TPM, amount=100))], [SAYS, {**SAYS, "n": 9}]),
    "a spent amount": ([quota(replace(RPM, amount=2))], [CHAT, CHAT]),
    "one request may go over": ([quota(replace(TPM, amount=7), one_over=True)], [CHAT, CHAT, SAYS]),
    "in shadow": ([quota(replace(RPM, shadow=True), replace(TPM, amount=1, shadow=True))], [SAYS, CHAT]),
    "a parent": (family([replace(RPM, amount=9)], [TPM, replace(RPM, amount=7)]), [SAYS, SAYS]),
    "each user": ([quota(replace(TPM, scope="PerUser"))], [{**SAYS, "user": "ada"}, {**SAYS, "user": "bob"}]),
    "an override": (
        [quota(replace(TPM, amount=1, overrides=(Override(amount=9000, until_unix_s=9e9),)))],
        [SAYS, SAYS],
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS)
async def test_both_ways_are_the_same_to_callers_limits_and_the_ledger(
    ways: Ways, tmp_path: Path, situation: str
) -> None:
    tenants, bodies = SITUATIONS[situation]
    at_once, in_pieces, telling = [
        await tell(way, ways, tenants, bodies, tmp_path / f"{way}.db") for way in WAYS
    ]

    assert at_once == in_pieces
    assert at_once == telling


async def test_without_a_known_price_both_ways_count_nothing_of_it(ways: Ways, tmp_path: Path) -> None:
    tenants, unpriced = [quota(MONEY, allow_unpriced=True)], replace(PRICED, price=None)
    at_once, in_pieces, telling = [
        await tell(way, ways, tenants, [SAYS], tmp_path / f"{way}.db", unpriced) for way in WAYS
    ]

    assert at_once == in_pieces == telling
    assert [state.used for state in at_once.seen[0].over] == [0]
    assert [row["priced"] for row in at_once.rows] == [False, False]


async def test_anthropics_callers_are_told_of_tokens_in_its_headers_on_both_ways(
    ways: Ways, tmp_path: Path
) -> None:
    tenants = [quota(replace(RPM, amount=9), TPM)]
    at_once, in_pieces, telling = [
        await tell(way, ways, tenants, [SAYS, SAYS], tmp_path / f"{way}.db", path=MESSAGES.path)
        for way in WAYS
    ]

    assert at_once == in_pieces == telling
    told = [seen.answer.headers for seen in at_once.seen]
    assert [headers["anthropic-ratelimit-requests-remaining"] for headers in told] == ["7", "6"]
    assert [headers["anthropic-ratelimit-tokens-limit"] for headers in told] == ["1000", "1000"]
    assert not [name for name in told[0] if name.startswith("x-ratelimit")]
