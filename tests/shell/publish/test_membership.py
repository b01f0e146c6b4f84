"""Gateways that come, report, leave and come back: their names, their views, their shares."""

from gateway_runtime.contract.health import LimitReport, TenantReport
from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.stream import Share
from headgate_operator.publish.change import Change
from headgate_operator.rollup.views import GatewayView, HeardTenant
from tests.shell.publish.conftest import Bench
from tests.shell.publish.fakes import make_provider, make_table
from tests.shell.publish.scripted_gateway import ScriptedGateway, make_report

ONE = make_table(make_provider(1))
TWO = make_table(make_provider(1), make_provider(2))
LIMIT = LimitReport(name="rpm", amount=9, used=1, held=0, resets_unix_s=60.0)


def view_of(bench: Bench, gateway: str = "gw-1") -> GatewayView:
    return next(view for view in bench.publisher.views() if view.gateway == gateway)


async def test_reports_are_known_with_the_time_of_their_arrival(leader: Bench) -> None:
    gateway = ScriptedGateway("gw-1")
    async with leader.dial(gateway) as connection:
        await connection.report(make_report("team/p/a"), make_report("team/p/b"))
        first = await leader.wait_event("Reported")
        leader.clock.turn(5)
        await connection.report(make_report("team/p/b", "Open"), full=False)
        second = await leader.wait_event("Reported")
        view = view_of(leader)

    assert (first.endpoints, second.endpoints) == ({"team/p/a", "team/p/b"}, {"team/p/b"})
    assert {key: report.circuit for key, report in view.reports.items()} == {
        "team/p/a": "Closed",
        "team/p/b": "Open",
    }
    assert view.reported_at_s == leader.clock.now_s


async def test_what_tenants_have_used_is_passed_on_by_tenant(leader: Bench) -> None:
    gateway = ScriptedGateway("gw-1")
    told = TenantReport(tenant=TenantId("team/quota"), limits=(LIMIT,))
    async with leader.dial(gateway) as connection:
        await connection.report(tenants=(told,))
        news = await leader.wait_event("Reported")
        leader.clock.turn(5)
        await connection.report(tenants=(told,))
        repeated = await leader.wait_event("Reported")
        heard = view_of(leader).tenants

    assert (news.tenants, repeated.tenants) == ({"team/quota"}, frozenset())
    assert heard == {"team/quota": HeardTenant(told, leader.clock.now_s - 5)}


async def test_a_gateway_that_leaves_is_listed_for_a_minute(leader: Bench) -> None:
    async with leader.dial(ScriptedGateway("gw-1")):
        await leader.wait_event("Connected")
    await leader.wait_event("Disconnected")
    leader.clock.turn(59)
    remembered = [view.connected for view in leader.publisher.views()]
    leader.clock.turn(1)

    assert remembered == [False]
    assert leader.publisher.views() == ()
    assert Change("Forgotten", ScriptedGateway("gw-1").name) in leader.changes


async def test_a_gateway_that_joins_takes_a_part_of_every_limit(leader: Bench) -> None:
    first, second = ScriptedGateway("gw-1"), ScriptedGateway("gw-2")
    async with leader.dial(first) as one:
        alone = await one.hear_share()
        async with leader.dial(second) as two:
            shares = [await one.hear_share(), await two.hear_share()]

    assert alone == Share(index=0, gateways=1)
    assert shares == [Share(index=0, gateways=2), Share(index=1, gateways=2)]


async def test_the_part_of_a_gateway_that_left_is_kept_for_it_and_then_given_to_the_others(
    leader: Bench,
) -> None:
    first, second = ScriptedGateway("gw-1"), ScriptedGateway("gw-2")
    async with leader.dial(second) as two:
        await two.hear_share()
        async with leader.dial(first):
            await two.hear_share()
        await leader.wait_event("Disconnected")
        leader.clock.turn(14)
        async with leader.dial(first) as one:
            back = await one.hear_share()
        await leader.wait_event("Disconnected")
        leader.clock.turn(15)
        alone = await two.hear_share()

    assert back == Share(index=1, gateways=2)
    assert alone == Share(index=0, gateways=1)


async def test_a_gateway_is_called_by_the_pod_of_its_token(leader: Bench) -> None:
    async with leader.dial(ScriptedGateway("made-up"), leader.kube.admit(pod="gw-7")):
        await leader.wait_event("Connected")

        assert [view.gateway for view in leader.publisher.views()] == ["gw-7"]


async def test_a_pod_that_dials_again_replaces_its_first_connection(leader: Bench) -> None:
    gateway = ScriptedGateway("gw-1")
    async with leader.dial(gateway) as first, leader.dial(gateway) as second:
        end = await first.hear_end()
        leader.publisher.publish(ONE, shrink_confirmed=False)
        await second.take_version()
        await leader.wait_event("Acked")

        assert end == (1008, "the same gateway has dialled again")
        assert [view.connected for view in leader.publisher.views()] == [True]


async def test_two_gateways_of_one_name_without_a_pod_are_both_served(leader: Bench) -> None:
    one, two = ScriptedGateway("gw-1"), ScriptedGateway("gw-1")
    leader.publisher.publish(ONE, shrink_confirmed=False)
    async with (
        leader.dial(one, leader.kube.admit()) as first,
        leader.dial(two, leader.kube.admit()) as second,
    ):
        await first.take_version()
        await second.take_version()

        assert sorted(view.gateway for view in leader.publisher.views()) == ["gw-1", "gw-1~2"]
