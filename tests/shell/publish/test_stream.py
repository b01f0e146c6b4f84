"""The config stream over real sockets and TLS: what a gateway is sent, and what is known of it afterwards."""

import asyncio
import json

import aiohttp
import pytest

from gateway_runtime.contract.codec import BUCKET_COUNT, bucket_index
from gateway_runtime.contract.stream import Ack, Fault, Nack, Share, Version, encode_message
from gateway_runtime.contract.table import resource_key
from headgate_operator.publish.change import Change
from headgate_operator.rollup.views import GatewayView
from tests.shell.publish.conftest import Bench
from tests.shell.publish.fakes import make_provider, make_table, make_token
from tests.shell.publish.scripted_gateway import ScriptedGateway, make_report

ONE = make_table(make_provider(1))
TWO = make_table(make_provider(1), make_provider(2))


def view_of(bench: Bench, gateway: str = "gw-1") -> GatewayView:
    return next(view for view in bench.publisher.views() if view.gateway == gateway)


async def refusal(bench: Bench, headers: dict[str, str]) -> tuple[int, object]:
    """Status and body of a plain request."""
    url = f"https://127.0.0.1:{bench.publisher.port}/v1/config"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, ssl=bench.trust(), headers=headers) as answer,
    ):
        return answer.status, await answer.json()


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


async def test_a_follower_says_that_it_does_not_lead(follower: Bench) -> None:
    token = follower.kube.admit()

    assert await refusal(follower, {"Authorization": f"Bearer {token}"}) == (503, {"leader": False})
    assert follower.kube.reviews == 0


async def test_a_gateway_without_a_token_is_told_which_one_to_send(leader: Bench) -> None:
    status, body = await refusal(leader, {})

    assert status == 401
    assert body == {
        "error": "no token: send Authorization: Bearer <token>, a projected ServiceAccount token "
        'with audience "headgate-operator"'
    }


async def test_an_unknown_token_is_refused(leader: Bench) -> None:
    status, _ = await refusal(leader, {"Authorization": f"Bearer {make_token()}"})

    assert status == 401


async def test_another_service_account_is_refused(leader: Bench) -> None:
    token = leader.kube.admit(account="team:app")

    status, body = await refusal(leader, {"Authorization": f"Bearer {token}"})

    assert status == 403
    assert "system:serviceaccount:headgate-system:headgate-gateway" in json.dumps(body)


async def test_a_good_token_without_a_websocket_is_told_how_to_dial(leader: Bench) -> None:
    token = leader.kube.admit()

    assert await refusal(leader, {"Authorization": f"Bearer {token}"}) == (
        426,
        {"error": "/v1/config is a WebSocket; dial it with wss://"},
    )


async def test_a_gateway_known_before_comes_back_while_the_api_server_is_away(leader: Bench) -> None:
    gateway = ScriptedGateway("gw-1")
    token = leader.kube.admit(pod="gw-1")
    leader.publisher.publish(ONE, shrink_confirmed=False)
    async with leader.dial(gateway, token) as connection:
        await connection.take_version()
    leader.kube.down = True
    async with leader.dial(gateway, token) as connection:
        leader.publisher.publish(TWO, shrink_confirmed=False)
        await connection.take_version()

    assert gateway.table == TWO


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


async def test_a_gateway_of_another_schema_version_is_listed_as_refusing_and_told_why(leader: Bench) -> None:
    gateway = ScriptedGateway("gw-1")
    leader.publisher.publish(ONE, shrink_confirmed=False)
    async with leader.dial(gateway, hello=gateway.greet(schema_version=99)) as connection:
        code, reason = await connection.hear_end()
    refused = view_of(leader).refused

    message = (
        "gateway gw-1 (0.1.0) reads tables of schema version 99, this operator writes 1; "
        "run the same version of Headgate on both sides"
    )
    assert (code, reason) == (1008, message[:123])
    assert refused == Nack(version=Version(1, 1), faults=(Fault(resource="", message=message),))


@pytest.mark.parametrize(
    ("hello", "reason"),
    [
        ("{", "not a message of the config stream: Input data was truncated"),
        (Ack(version=Version(1, 1), digest=""), "the first message is Ack, not Hello"),
        (
            '{"type":"Hello","gateway":"two words","software":"","schema_version":1,"version":null,'
            '"bucket_digests":[]}',
            "a gateway's name has 1 to 253 letters, digits and .~/@:_-",
        ),
        (
            '{"type":"Hello","gateway":"gw","software":"","schema_version":1,"version":null,'
            '"bucket_digests":["a"]}',
            "a table has 256 buckets, not 1",
        ),
        (
            '{"type":"Hello","gateway":"gw","software":"","schema_version":1,'
            '"version":{"epoch":9007199254740992,"sequence":1},"bucket_digests":[]}',
            "version 9007199254740992.1 is none that an operator has published",
        ),
    ],
)
async def test_a_bad_greeting_is_closed_with_the_reason(leader: Bench, hello: Ack | str, reason: str) -> None:
    token = leader.kube.admit()
    async with leader.dial(ScriptedGateway("gw"), token, hello) as connection:
        assert await connection.hear_end() == (1008, reason)
    assert leader.publisher.views() == ()


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("[]", "not a message of the config stream: Expected `object`, got `array`"),
        (
            encode_message(ScriptedGateway("gw-1").greet()).decode(),
            "a second Hello; it is said once, at the beginning",
        ),
        (
            '{"type":"HealthReport","sequence":0,"full":true,"endpoints":[]}',
            "report 0 after report 0; reports count up",
        ),
    ],
)
async def test_a_bad_message_is_closed_with_the_reason(leader: Bench, message: str, reason: str) -> None:
    async with leader.dial(ScriptedGateway("gw-1")) as connection:
        await leader.wait_event("Connected")
        await connection.say(message)

        assert await connection.hear_end() == (1008, reason)
    assert (await leader.wait_event("Disconnected")).gateway == "gw-1"


async def test_an_ack_of_another_table_is_closed_with_the_reason(leader: Bench) -> None:
    leader.publisher.publish(ONE, shrink_confirmed=False)
    async with leader.dial(ScriptedGateway("gw-1")) as connection:
        await connection.hear_version()
        await connection.say(Ack(version=Version(1, 1), digest="other"))

        assert await connection.hear_end() == (
            1008,
            "version 1.1 is acknowledged with the digest of another table",
        )


async def test_a_binary_frame_is_closed_with_the_reason(leader: Bench) -> None:
    async with leader.dial(ScriptedGateway("gw-1")) as connection:
        await connection.socket.send_bytes(b"{}")

        assert await connection.hear_end() == (1008, "a frame of type BINARY; the stream is JSON text")


async def test_a_gateway_that_hangs_up_without_a_word_leaves_nothing_behind(leader: Bench) -> None:
    headers = {"Authorization": f"Bearer {leader.kube.admit()}"}
    url = f"wss://127.0.0.1:{leader.publisher.port}/v1/config"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, ssl=leader.trust(), headers=headers),
    ):
        pass

    assert leader.publisher.views() == ()


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
