"""Terms of leadership: epochs, what is recovered, when the views are the whole truth."""

import asyncio

import aiohttp

from gateway_runtime.contract.ids import GatewayId
from gateway_runtime.contract.stream import Share, Version
from headgate_operator.publish.bootstrap import Bootstrap
from tests.shell.publish.conftest import Bench
from tests.shell.publish.fakes import NAMESPACE, FakeKube, TurnedClock, make_provider, make_table
from tests.shell.publish.scripted_gateway import Connection, ScriptedGateway

ONE = make_table(make_provider(1))
TWO = make_table(make_provider(1), make_provider(2))


async def hand_over(bench: Bench, *gateways: ScriptedGateway) -> None:
    """A term with these gateways connected, written down, and over."""
    bench.publisher.publish(ONE, shrink_confirmed=False)
    async with asyncio.TaskGroup() as group:
        held = asyncio.Event()
        for gateway in gateways:
            group.create_task(_run_until(bench, gateway, held))
        for _ in gateways:
            await bench.wait_event("Acked")
        await bench.kube.wait_written(lambda: len(bench.kube.roster()) == len(gateways))
        held.set()
    bench.publisher.resign()
    bench.changes.clear()


async def _run_until(bench: Bench, gateway: ScriptedGateway, held: asyncio.Event) -> None:
    async with bench.dial(gateway) as connection:
        await connection.take_version()
        await held.wait()


async def test_outside_a_term_nothing_is_published(follower: Bench) -> None:
    assert follower.publisher.publish(ONE, shrink_confirmed=False) is None
    assert follower.publisher.views() == ()
    assert not follower.publisher.settled(1e12)


async def test_each_term_has_an_epoch_above_the_last(leader: Bench) -> None:
    first = leader.publisher.publish(ONE, shrink_confirmed=False)
    await leader.publisher.become_leader(0)
    second = leader.publisher.publish(ONE, shrink_confirmed=False)

    assert first is not None
    assert second is not None
    assert (first.version, second.version) == (Version(1, 1), Version(2, 1))


async def test_an_epoch_is_above_what_the_lease_counts(follower: Bench) -> None:
    await follower.publisher.become_leader(17)
    published = follower.publisher.publish(ONE, shrink_confirmed=False)

    assert published is not None
    assert published.version == Version(18, 1)


async def test_a_term_that_ends_sends_its_gateways_away(leader: Bench) -> None:
    async with leader.dial(ScriptedGateway("gw-1")) as connection:
        await leader.wait_event("Connected")
        leader.publisher.resign()

        assert await connection.hear_end() == (1013, "this operator does not lead any more; dial again")
    assert leader.publisher.views() == ()


async def test_a_gateway_whose_hello_comes_after_the_end_of_the_term_is_sent_away(leader: Bench) -> None:
    gateway = ScriptedGateway("gw-1")
    headers = {"Authorization": f"Bearer {leader.kube.admit()}"}
    url = f"wss://127.0.0.1:{leader.publisher.port}/v1/config"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, ssl=leader.trust(), headers=headers) as socket,
    ):
        await leader.publisher.become_leader(0)
        connection = Connection(gateway, socket)
        await connection.say(gateway.greet())

        assert await connection.hear_end() == (1008, "this operator does not lead any more; dial again")


async def test_the_next_leader_knows_the_table_that_was_published_last(leader: Bench, kube: FakeKube) -> None:
    leader.publisher.publish(TWO, shrink_confirmed=False)
    await kube.wait_written(lambda: "part-000" in kube.secrets["headgate-bootstrap-0"].data)
    successor = Bench(kube, TurnedClock())
    await successor.publisher.become_leader(0)

    assert successor.publisher.last_published_table() == TWO
    await successor.publisher.stop()


async def test_a_gateway_of_a_later_epoch_lifts_the_table_above_it(leader: Bench) -> None:
    ahead, other = ScriptedGateway("gw-1"), ScriptedGateway("gw-2")
    leader.publisher.publish(ONE, shrink_confirmed=False)
    async with leader.dial(other) as second:
        await second.take_version()
        ahead.version = Version(30, 4)
        async with leader.dial(ahead) as first:
            await first.take_version()
            (lifted,) = await second.take_version()
            published = leader.publisher.publish(ONE, shrink_confirmed=False)

    assert published is not None
    assert (ahead.version, lifted.version, lifted.buckets) == (Version(31, 1), Version(31, 1), {})
    assert set(published.since.values()) == {Version(31, 1)}


async def test_a_deleted_bootstrap_heals_from_what_the_gateways_run(leader: Bench) -> None:
    gateway = ScriptedGateway("gw-1")
    for _ in range(3):
        await leader.publisher.become_leader(0)
    leader.publisher.publish(ONE, shrink_confirmed=False)
    async with leader.dial(gateway) as connection:
        await connection.take_version()
    leader.publisher.resign()
    leader.kube.secrets.pop("headgate-bootstrap-0")
    await leader.publisher.become_leader(0)
    leader.publisher.publish(TWO, shrink_confirmed=False)
    async with leader.dial(gateway) as connection:
        await connection.take_version()

    assert gateway.version == Version(5, 1)
    assert gateway.table == TWO


async def test_a_leader_that_was_replaced_without_noticing_stops(leader: Bench, kube: FakeKube) -> None:
    gateway = ScriptedGateway("gw-1")
    async with leader.dial(gateway) as connection:
        await Bootstrap(kube, NAMESPACE, "rival").claim(0)
        leader.publisher.publish(ONE, shrink_confirmed=False)
        await connection.hear_end()

    assert not leader.publisher.leading
    assert leader.publisher.failure is None


async def test_the_views_are_the_truth_once_everyone_the_last_leader_knew_has_answered(leader: Bench) -> None:
    one, two = ScriptedGateway("gw-1"), ScriptedGateway("gw-2")
    await hand_over(leader, one, two)
    await leader.publisher.become_leader(0)
    leader.publisher.publish(ONE, shrink_confirmed=False)
    now_s = leader.clock.now_s
    async with leader.dial(one) as first, leader.dial(two) as second:
        await first.take_version()
        await leader.wait_event("Acked")
        half = leader.publisher.settled(now_s)
        await second.take_version()
        await leader.wait_event("Settled")

        assert [half, leader.publisher.settled(now_s)] == [False, True]


async def test_the_views_are_the_truth_after_fifteen_seconds_whoever_is_missing(leader: Bench) -> None:
    await hand_over(leader, ScriptedGateway("gw-1"), ScriptedGateway("gw-2"))
    await leader.publisher.become_leader(0)
    leader.clock.turn(14.9)
    before = leader.publisher.settled(leader.clock.now_s)
    leader.clock.turn(0.1)

    assert [before, leader.publisher.settled(leader.clock.now_s)] == [False, True]
    assert [(v.gateway, v.connected) for v in leader.publisher.views()] == [("gw-1", False), ("gw-2", False)]
    await leader.wait_event("Settled")


async def test_in_a_new_installation_the_first_gateway_that_answers_is_all_there_is(leader: Bench) -> None:
    leader.publisher.publish(ONE, shrink_confirmed=False)
    before = leader.publisher.settled(leader.clock.now_s)
    async with leader.dial(ScriptedGateway("gw-1")) as connection:
        await connection.take_version()
        await leader.wait_event("Settled")

        assert [before, leader.publisher.settled(leader.clock.now_s)] == [False, True]


async def test_a_change_of_leader_moves_nobodys_share(leader: Bench) -> None:
    gateways = [ScriptedGateway(f"gw-{i}") for i in range(3)]
    await hand_over(leader, *gateways)
    row = leader.kube.roster()
    await leader.publisher.become_leader(0)
    last = next(gateway for gateway in gateways if gateway.name == row[2])
    last.shares.clear()
    async with leader.dial(last) as connection:
        share = await connection.hear_share()

    assert share == Share(index=2, gateways=3)


async def test_gateways_that_did_not_come_back_are_forgotten(leader: Bench) -> None:
    await hand_over(leader, ScriptedGateway("gw-1"))
    await leader.publisher.become_leader(0)
    leader.clock.turn(60)

    assert leader.publisher.views() == ()
    assert (await leader.wait_event("Forgotten")).gateway == GatewayId("gw-1")


async def test_leadership_comes_and_goes_on_one_open_port(follower: Bench) -> None:
    gateway = ScriptedGateway("gw-1")
    tables = [make_table(make_provider(1, generation)) for generation in range(1, 6)]
    for table in tables:
        await follower.publisher.become_leader(0)
        follower.publisher.publish(table, shrink_confirmed=False)
        async with follower.dial(gateway) as connection:
            await connection.take_version()
        follower.publisher.resign()

    assert gateway.version == Version(5, 1)
    assert gateway.table == tables[-1]
