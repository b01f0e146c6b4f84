"""Who is let onto the stream, and what the others are told."""

import json

import aiohttp
import pytest

from gateway_runtime.contract.stream import Ack, Fault, Nack, Version, encode_message
from headgate_operator.rollup.views import GatewayView
from tests.shell.publish.conftest import Bench
from tests.shell.publish.fakes import make_provider, make_table, make_token
from tests.shell.publish.scripted_gateway import ScriptedGateway

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
