"""What is told of one tenant: whole amounts, this gateway's own use, times that do not waver."""

from msgspec.structs import replace

from gateway_runtime.contract.health import KeyUse, LimitReport
from gateway_runtime.contract.stream import Share
from gateway_runtime.contract.tenant import Limit, Override, Tenant
from gateway_runtime.engine.amounts import Bound, Spent
from gateway_runtime.engine.hold import Reserved, reserve
from gateway_runtime.engine.limits import take_all
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.server.reload import Reloader
from gateway_runtime.server.state import LiveState
from gateway_runtime.server.tenant_report import KEYS_TOLD, describe_tenant
from tests.server.rig import DEAD_URL, provider, table, tenant

NOW_S, UNIX_S = 1_000.0, 1_772_366_400.0
RPM = Limit(name="rpm", amount=10, window_s=60.0)


async def serve(*limits: Limit, share: Share | None = None) -> tuple[LiveState, Tenant]:
    state = LiveState(Clock(lambda: NOW_S, lambda: UNIX_S))
    reloader = Reloader(state)
    limited = tenant(limits=limits)
    await reloader.apply_table(table(provider(DEAD_URL), tenants=[limited]))
    if share is not None:
        reloader.apply_share(share)
    return state, limited


async def test_the_whole_amount_is_told_and_what_this_gateway_has_used() -> None:
    state, limited = await serve(RPM, share=Share(index=0, gateways=4))
    take_all(state.limits_for(limited, None, None, "gpt"), NOW_S)
    take_all(state.limits_for(limited, None, None, "gpt"), NOW_S + 1)

    report = describe_tenant(state, limited, NOW_S + 10.5, UNIX_S + 10.5)

    assert report.tenant == limited.id
    assert report.limits == (LimitReport(name="rpm", amount=10, used=2, held=0, resets_unix_s=UNIX_S + 61),)


async def test_what_runs_is_held_until_it_is_settled() -> None:
    limit = Limit(name="tpm", amount=1_000, window_s=60.0, resource="TotalTokens")
    state, limited = await serve(limit)
    reserved = reserve(
        state.limits_for(limited, None, None, "gpt"), Bound(10, 90, None), NOW_S, allow_unpriced=False
    )
    assert isinstance(reserved, Reserved)
    (running,) = describe_tenant(state, limited, NOW_S, UNIX_S).limits
    reserved.hold.settle(Spent(10, 20, 0), NOW_S)
    (over,) = describe_tenant(state, limited, NOW_S, UNIX_S).limits

    assert (running.used, running.held) == (0, 100)
    assert (over.used, over.held) == (30, 0)


async def test_of_what_is_unused_and_of_concurrency_no_time_of_reset_is_told() -> None:
    at_once = Limit(name="at-once", amount=2, window_s=0.0, resource="Concurrency")
    state, limited = await serve(RPM, at_once)
    reserve(
        [one for one in state.limits_for(limited, None, None, "gpt") if one.name == "at-once"],
        Bound(1, 1, None),
        NOW_S,
        allow_unpriced=False,
    )

    told = describe_tenant(state, limited, NOW_S, UNIX_S).limits

    assert [(one.name, one.held, one.resets_unix_s) for one in told] == [
        ("rpm", 0, None),
        ("at-once", 1, None),
    ]


async def test_an_override_is_told_while_it_holds() -> None:
    raised = replace(RPM, overrides=(Override(amount=99, until_unix_s=UNIX_S + 5),))
    state, limited = await serve(raised)

    amounts = [describe_tenant(state, limited, NOW_S, at).limits[0].amount for at in (UNIX_S, UNIX_S + 5)]

    assert amounts == [99, 10]


async def test_of_a_limit_for_each_user_the_nearest_is_told_and_of_nobody_that_nothing_is_used() -> None:
    each = replace(RPM, name="each", scope="PerUser")
    state, limited = await serve(each)
    before = describe_tenant(state, limited, NOW_S, UNIX_S).limits
    for user in ("ann", "bob", "bob"):
        take_all(state.limits_for(limited, user, None, "gpt"), NOW_S)
    after = describe_tenant(state, limited, NOW_S, UNIX_S).limits

    assert before == (LimitReport(name="each", amount=10, used=0, held=0, resets_unix_s=None),)
    assert [one.used for one in after] == [2]


async def test_uses_of_keys_are_told_in_whole_minutes() -> None:
    state, limited = await serve()
    state.key_uses.note(limited.id, "ab12", UNIX_S + 59.9)

    told = describe_tenant(state, limited, NOW_S, UNIX_S).keys

    assert told == (KeyUse(key_id="ab12", last_unix_s=UNIX_S),)


async def test_of_many_keys_those_that_were_used_last_are_told() -> None:
    state, limited = await serve()
    for i in range(2 * KEYS_TOLD):
        state.key_uses.note(limited.id, f"{i:03d}", UNIX_S - 60 * i)

    told = describe_tenant(state, limited, NOW_S, UNIX_S).keys

    assert [use.key_id for use in told] == [f"{i:03d}" for i in range(KEYS_TOLD)]
