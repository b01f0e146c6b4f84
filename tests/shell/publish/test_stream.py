"""Versions over real sockets and TLS: what each gateway is sent, and what is known of its answers."""

import asyncio

import structlog
import structlog.testing

from gateway_runtime.contract.codec import BUCKET_COUNT, bucket_index
from gateway_runtime.contract.stream import Ack, Fault, Nack, Version
from gateway_runtime.contract.table import resource_key
from headgate_operator.rollup.views import GatewayView
from tests.shell.publish.conftest import Bench
from tests.shell.publish.fakes import make_provider, make_table
from tests.shell.publish.scripted_gateway import ScriptedGateway

ONE = make_table(make_provider(1))
TWO = make_table(make_provider(1), make_provider(2))


def view_of(bench: Bench, gateway: str = "gw-1") -> GatewayView:
    return next(view for view in bench.publisher.views() if view.gateway == gateway)


async def test_a_fresh_gateway_gets_the_whole_table_and_runs_it(leader: Bench) -> None:
    gateway = ScriptedGateway("gw-1")
    leader.publisher.publish(TWO, shrink_confirmed=False)
    async with leader.dial(gateway) as connection:
        await connection.take_version()
        await leader.wait_event("Acked")

        assert gateway.table == TWO
        assert view_of(leader) == GatewayView(gateway.name, True, Version(1, 1), None, {}, None)


async def test_an_edit_sends_the_changed_bucket_alone(leader: Bench) -> None:
    gateway = ScriptedGateway("gw-1")
    leader.publisher.publish(TWO, shrink_confirmed=False)
    async with leader.dial(gateway) as connection:
        await connection.take_version()
        edited = make_provider(2, generation=2)
        leader.publisher.publish(make_table(make_provider(1), edited), shrink_confirmed=False)
        (delta,) = await connection.take_version()

        assert set(delta.buckets) == {bucket_index(resource_key(edited))}
        assert delta.version == Version(1, 2)


async def test_a_table_published_before_any_gateway_dials_is_sent_when_it_does(leader: Bench) -> None:
    gateway = ScriptedGateway("gw-1")
    async with leader.dial(gateway) as connection:
        leader.publisher.publish(ONE, shrink_confirmed=False)
        await connection.take_version()

    assert gateway.table == ONE


async def test_a_gateway_that_runs_the_version_already_is_sent_nothing(leader: Bench) -> None:
    gateway = ScriptedGateway("gw-1")
    leader.publisher.publish(ONE, shrink_confirmed=False)
    async with leader.dial(gateway) as connection:
        await connection.take_version()
    async with leader.dial(gateway) as connection:
        await connection.hear_share()
        leader.publisher.publish(TWO, shrink_confirmed=False)
        (next_delta,) = await connection.hear_version()

    assert next_delta.version == Version(1, 2)


async def test_a_gateway_that_has_the_table_under_an_older_version_is_sent_no_bucket(leader: Bench) -> None:
    gateway = ScriptedGateway("gw-1")
    leader.publisher.publish(ONE, shrink_confirmed=False)
    async with leader.dial(gateway) as connection:
        await connection.take_version()
    leader.publisher.resign()
    await leader.publisher.become_leader(0)
    leader.publisher.publish(ONE, shrink_confirmed=False)
    async with leader.dial(gateway) as connection:
        (delta,) = await connection.take_version()

    assert (delta.version, delta.buckets) == (Version(2, 1), {})


async def test_a_slow_gateway_skips_to_the_newest_version(leader: Bench) -> None:
    gateway = ScriptedGateway("gw-1")
    leader.publisher.publish(ONE, shrink_confirmed=False)
    async with leader.dial(gateway) as connection:
        first = await connection.hear_version()
        for generation in range(2, 50):
            leader.publisher.publish(make_table(make_provider(1, generation)), shrink_confirmed=False)
        await connection.apply(first)
        second = await connection.take_version()

    assert [first[0].version, second[0].version] == [Version(1, 1), Version(1, 49)]
    assert gateway.table == make_table(make_provider(1, 49))


async def test_a_gateway_that_does_not_read_holds_up_nobody(leader: Bench) -> None:
    stuck, quick = ScriptedGateway("gw-1"), ScriptedGateway("gw-2")
    leader.publisher.publish(make_table(*map(make_provider, range(5000))), shrink_confirmed=False)
    async with leader.dial(stuck), leader.dial(quick) as connection:
        await connection.take_version()
        leader.publisher.publish(ONE, shrink_confirmed=True)
        await connection.take_version()

        assert quick.table == ONE
        assert view_of(leader, "gw-1").applied is None


async def test_a_large_table_comes_in_several_parts(leader: Bench) -> None:
    gateway = ScriptedGateway("gw-1")
    large = make_table(*map(make_provider, range(2000)))
    leader.publisher.publish(large, shrink_confirmed=False)
    async with leader.dial(gateway) as connection:
        parts = await connection.take_version()

    assert len(parts) > 1
    assert gateway.table == large


async def test_a_refusal_is_known_with_its_reasons_and_not_repeated(leader: Bench) -> None:
    gateway = ScriptedGateway("gw-1")
    leader.publisher.publish(ONE, shrink_confirmed=False)
    async with leader.dial(gateway) as connection:
        await connection.refuse(await connection.hear_version(), "Provider/team/p00001", "no such thing")
        await leader.wait_event("Refused")
        refused = view_of(leader)
        leader.publisher.publish(TWO, shrink_confirmed=False)
        (delta,) = await connection.take_version()

    faults = (Fault(resource="Provider/team/p00001", message="no such thing"),)
    assert refused.applied is None
    assert refused.refused == Nack(version=Version(1, 1), faults=faults)
    assert (delta.version, set(delta.buckets)) == (Version(1, 2), set(range(BUCKET_COUNT)))
    assert leader.registry.get_sample_value("headgate_config_refusals_total") == 1


async def test_a_loss_that_is_confirmed_later_is_offered_again_to_who_refused_it(leader: Bench) -> None:
    gateway, obedient = ScriptedGateway("gw-1"), ScriptedGateway("gw-2")
    leader.publisher.publish(ONE, shrink_confirmed=False)
    async with leader.dial(gateway) as connection, leader.dial(obedient) as other:
        await connection.refuse(await connection.hear_version(), "", "the operator did not confirm the loss")
        await other.take_version()
        await leader.wait_event("Refused")
        leader.publisher.publish(ONE, shrink_confirmed=True)
        (again,) = await connection.take_version()
        leader.publisher.publish(TWO, shrink_confirmed=False)
        (after,) = await other.take_version()

    assert (again.version, again.shrink_confirmed) == (Version(1, 1), True)
    assert after.version == Version(1, 2)


async def test_an_answer_to_a_version_that_was_not_sent_is_ignored(leader: Bench) -> None:
    gateway = ScriptedGateway("gw-1")
    leader.publisher.publish(ONE, shrink_confirmed=False)
    async with leader.dial(gateway) as connection:
        parts = await connection.hear_version()
        await connection.say(Ack(version=Version(0, 9), digest="other"))
        await connection.apply(parts)
        change = await leader.wait_event("Acked")

    assert change.version == Version(1, 1)


async def test_a_hundred_gateways_get_an_edit_each_from_the_same_bytes(leader: Bench) -> None:
    gateways = [ScriptedGateway(f"gw-{i}") for i in range(100)]
    leader.publisher.publish(ONE, shrink_confirmed=False)

    async def follow(gateway: ScriptedGateway) -> None:
        async with leader.dial(gateway) as connection:
            await connection.take_version()
            await connection.take_version()

    async def edit_when_all_run_the_first() -> None:
        for _ in gateways:
            await leader.wait_event("Acked")
        leader.publisher.publish(TWO, shrink_confirmed=False)

    async with asyncio.TaskGroup() as group:
        for gateway in gateways:
            group.create_task(follow(gateway))
        group.create_task(edit_when_all_run_the_first())

    assert all(gateway.table == TWO for gateway in gateways)


async def test_no_key_and_no_token_reaches_the_logs(leader: Bench) -> None:
    gateway = ScriptedGateway("gw-1")
    token = leader.kube.admit(pod="gw-1")
    with structlog.testing.capture_logs() as logs:
        leader.publisher.publish(TWO, shrink_confirmed=False)
        async with leader.dial(gateway, token) as connection:
            await connection.refuse(await connection.hear_version(), "Provider/team/p00001", "no such thing")
            await leader.wait_event("Refused")
        await leader.wait_event("Disconnected")
        await leader.publisher.become_leader(0)

    assert {"published", "gateway connected", "version refused"} <= {line["event"] for line in logs}
    assert "sk-planted" not in repr(logs)
    assert token not in repr(logs)
