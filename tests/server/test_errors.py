"""Every error that the gateway itself answers with, provoked on a real socket, its whole message pinned."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway_runtime.contract.errors import ErrorCode
from gateway_runtime.contract.table import RouteTimeouts
from gateway_runtime.contract.tenant import Limit
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.fake_provider import FakeProvider
from gateway_runtime.upstream.answer import Answer as UpstreamAnswer
from gateway_runtime.upstream.exchange import UpstreamRequest
from gateway_runtime.upstream.transport import PooledTransport
from gateway_runtime.upstream.trust import DEFAULT_TLS, TlsSettings
from tests.server.operatorend import issue_certificate, operator_end
from tests.server.rawupstream import answering, raw_upstream, saying
from tests.server.rig import (
    CHAT,
    CIRCUIT,
    DEAD_URL,
    KEY,
    UPSTREAM_KEY,
    Answer,
    provider,
    route,
    serving,
    settings,
    table,
    tenant,
)


def pin(answer: Answer, code: ErrorCode, message: str, param: str | None = None) -> None:
    """The whole answer: status, body, and what SDKs are told about trying again."""
    assert answer.status == code.status
    assert answer.error == {
        "message": message,
        "type": code.value.type,
        "code": code.value.code,
        "param": param,
        "headgate": code.id,
    }
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.headers["x-headgate-request-id"]) == 24
    assert answer.headers.get("x-should-retry") == (None if code.value.retry else "false")


async def test_a_caller_without_a_key_is_told_how_to_send_one(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        answer = await rig.ask(key=None)

    pin(
        answer,
        ErrorCode.MISSING_KEY,
        "No API key was sent. Send yours in the header `Authorization: Bearer <key>`.",
    )
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_an_unknown_key_is_refused(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        answer = await rig.ask(key="wrong")

    pin(
        answer,
        ErrorCode.UNKNOWN_KEY,
        "This API key is not known here. Check that it was copied whole and is meant for this gateway; "
        "if so, it may have been withdrawn.",
    )


async def test_an_unknown_model_is_answered_with_those_that_the_key_may_use(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url), routes=[route("gpt", "gpt-mini")])) as rig:
        answer = await rig.ask({**CHAT, "model": "gpt-9"})

    pin(
        answer,
        ErrorCode.UNKNOWN_MODEL,
        'Model "gpt-9" is not served to this key. Models that it may use: gpt, gpt-mini.',
        param="model",
    )


async def test_a_long_list_of_usable_models_is_cut(fake: FakeProvider) -> None:
    names = [f"m{i:02}" for i in range(23)]
    async with serving(table(provider(fake.url), routes=[route(*names)])) as rig:
        answer = await rig.ask({**CHAT, "model": "gpt-9"})

    pin(
        answer,
        ErrorCode.UNKNOWN_MODEL,
        f'Model "gpt-9" is not served to this key. Models that it may use: {", ".join(names[:20])} '
        "and 3 more; see GET /v1/models.",
        param="model",
    )


async def test_a_key_that_may_use_no_model_is_told_so(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url), tenants=[tenant(models=[])])) as rig:
        answer = await rig.ask()

    pin(
        answer,
        ErrorCode.UNKNOWN_MODEL,
        'Model "gpt" is not served to this key. This key may use no model by name; '
        "ask whoever gave it to you.",
        param="model",
    )


async def test_a_body_that_is_not_json_is_refused_with_the_place_of_the_mistake(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        answer = await rig.ask(data=b'{"model": "gpt",}')

    pin(
        answer,
        ErrorCode.MALFORMED_BODY,
        "The request body is not valid JSON: trailing comma in object (byte 16).",
    )


async def test_a_body_without_a_model_is_refused_with_an_example(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        answer = await rig.ask({"messages": []})

    pin(
        answer,
        ErrorCode.MISSING_MODEL,
        'The request body has no `model`. Name one, for example {"model": "gpt-4o-mini", "messages": '
        '[{"role": "user", "content": "Hello"}]}; GET /v1/models lists yours.',
        param="model",
    )


async def test_a_spent_limit_is_429_with_the_time_to_wait(fake: FakeProvider) -> None:
    limits = [Limit(name="rpm", amount=2, window_s=60)]
    async with serving(table(provider(fake.url), tenants=[tenant(limits=limits)])) as rig:
        first, second, third = [await rig.ask() for _ in range(3)]

    assert (first.status, second.status) == (200, 200)
    assert second.headers["x-ratelimit-remaining-requests"] == "0"
    assert third.error["message"].startswith(
        'Limit "rpm" of chat/team is spent: 2 requests in any 60 s. Try again in '
    )
    assert third.error["headgate"] == "HG1007"
    assert third.status == 429
    assert third.headers["retry-after"] == "60"
    assert third.headers["x-ratelimit-limit-requests"] == "2"
    assert third.headers["x-ratelimit-reset-requests"] == "1m0s"
    assert "x-should-retry" not in third.headers
    assert fake.seen.requests == 2


async def test_an_unknown_path_is_answered_with_those_that_are_served(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        answer = await rig.ask(path="/v1/fine_tuning/jobs")

    pin(
        answer,
        ErrorCode.UNKNOWN_PATH,
        "There is no POST /v1/fine_tuning/jobs here. Served: POST /v1/chat/completions, POST /v1/responses, "
        "POST /v1/completions, POST /v1/embeddings, POST /v1/messages, POST /v1/messages/count_tokens, "
        "POST /v1/moderations, POST /v1/rerank, POST /v2/rerank, POST /v1/images/generations, "
        "POST /v1/images/edits, POST /v1/images/variations, POST /v1/audio/speech, "
        "POST /v1/audio/transcriptions, POST /v1/audio/translations, POST /v1/langchain/chat/completions, "
        "POST /v1/langchain/embeddings, GET /v1/responses/{id}, DELETE /v1/responses/{id}, "
        "POST /v1/responses/{id}/cancel, GET /v1/responses/{id}/input_items, POST /v1/files, "
        "GET /v1/files/{id}, DELETE /v1/files/{id}, GET /v1/files/{id}/content, POST /v1/batches, "
        "GET /v1/batches/{id}, POST /v1/batches/{id}/cancel, GET /v1/models, GET /v1/models/{id}, "
        "GET /v1/limits, GET /v1/usage.",
    )


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/v1/chat/completions", "POST"), ("DELETE", "/v1/models/gpt", "GET")],
)
async def test_a_wrong_method_is_answered_with_the_right_one(
    fake: FakeProvider, method: str, path: str, allowed: str
) -> None:
    async with serving(table(provider(fake.url))) as rig:
        answer = await rig.ask(method=method, path=path)

    pin(answer, ErrorCode.METHOD_NOT_ALLOWED, f"{path} takes {allowed}, not {method}.")
    assert answer.headers["allow"] == allowed


async def test_a_route_whose_targets_are_all_gone_names_who_must_mend_it(fake: FakeProvider) -> None:
    empty = msgspec.structs.replace(route(), targets=())
    async with serving(table(provider(fake.url), routes=[empty])) as rig:
        answer = await rig.ask()

    pin(
        answer,
        ErrorCode.NO_TARGET,
        "Route chat/route has no target that exists. Its owner in namespace chat must mend its targets; "
        "its status names what is missing.",
    )


async def test_open_circuits_everywhere_are_503_with_the_time_until_the_next_trial() -> None:
    fragile = msgspec.structs.replace(CIRCUIT, consecutive_failures=1)
    async with serving(table(provider(DEAD_URL, circuit=fragile), routes=[route(max_attempts=1)])) as rig:
        await rig.ask()
        answer = await rig.ask()

    pin(
        answer,
        ErrorCode.NO_TARGET,
        "Every endpoint behind route chat/route failed lately and its circuit is open. "
        "Try again in a few seconds.",
    )
    assert answer.headers["retry-after"] == "30"


async def test_a_gateway_without_a_table_says_what_it_waits_for() -> None:
    async with serving() as rig:
        answer = await rig.ask()

    pin(
        answer,
        ErrorCode.NO_TABLE,
        "This gateway has no routing table yet; it waits for its operator. Try again in a few seconds.",
    )
    assert answer.headers["retry-after"] == "1"


async def test_an_unreachable_provider_is_502_after_all_attempts() -> None:
    async with serving(table(provider(DEAD_URL), routes=[route(max_attempts=2)])) as rig:
        answer = await rig.ask()

    pin(
        answer,
        ErrorCode.UPSTREAM_UNREACHABLE,
        "Endpoint chat/openai/e0 could not be reached: connection refused; 2 attempts were made. "
        "Try again; if it stays so, the provider is down or its URL is wrong.",
    )
    assert answer.headers["x-headgate-attempts"] == "2"
    assert answer.headers["x-headgate-provider"] == "chat/openai"


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ((), "the connection was closed before an answer came"),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{",), "the answer was cut off"),
    ],
)
async def test_a_provider_that_hangs_up_is_502(pieces: tuple[bytes, ...], reason: str) -> None:
    async with (
        raw_upstream(saying(*pieces)) as upstream,
        serving(table(provider(upstream.url), routes=[route(max_attempts=1)])) as rig,
    ):
        answer = await rig.ask()

    pin(
        answer,
        ErrorCode.UPSTREAM_UNREACHABLE,
        f"Endpoint chat/openai/e0 could not be reached: {reason}; 1 attempt was made. "
        "Try again; if it stays so, the provider is down or its URL is wrong.",
    )


async def test_a_provider_that_refuses_our_credentials_is_not_the_callers_fault(fake: FakeProvider) -> None:
    fake.script = FakeScript(keys=("another",))
    async with serving(table(provider(fake.url, keys=["old", "older"]))) as rig:
        answer = await rig.ask()

    pin(
        answer,
        ErrorCode.CREDENTIAL_REFUSED,
        'Provider chat/openai refused credential "key-0", "key-1" (status 401). Your own key is fine; '
        "whoever owns the provider must put a valid key into the Secret behind it.",
    )


async def test_a_provider_that_wants_a_credential_and_has_none_is_named(fake: FakeProvider) -> None:
    fake.script = FakeScript(keys=("another",))
    async with serving(table(provider(fake.url, keys=[]))) as rig:
        answer = await rig.ask()

    pin(
        answer,
        ErrorCode.CREDENTIAL_REFUSED,
        "Provider chat/openai wants a credential and has none (status 401). Your own key is fine; "
        "whoever owns the provider must add one to its credentials.",
    )


async def test_a_provider_that_keeps_silent_is_504(fake: FakeProvider) -> None:
    fake.script = FakeScript(latency_s=30)
    hasty = route(max_attempts=1, timeouts=RouteTimeouts(first_token_s=0.03))
    async with serving(table(provider(fake.url), routes=[hasty])) as rig:
        answer = await rig.ask()

    pin(
        answer,
        ErrorCode.UPSTREAM_TIMEOUT,
        "Endpoint chat/openai/e0 was too slow: no first byte within 0.03 s; 1 attempt was made. "
        "Try again, or have the timeouts of the route or the provider raised.",
    )


GZIP = "content-type: application/json\r\ncontent-encoding: gzip"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (saying(b"SSH-2.0-OpenSSH_9.2\r\n"), "the answer is not HTTP"),
        (answering(b"<html>"), "its body is not a JSON object"),
        (answering(b"[]"), "its body is not a JSON object"),
        (answering(b""), "its body is not a JSON object"),
        (answering(b"{}", headers=GZIP), "it is compressed, although that was declined"),
        (
            answering(b"", "302 Found", "location: http://127.0.0.1:1/"),
            "status 302, which is no answer to a request",
        ),
    ],
)
async def test_a_provider_that_answers_nonsense_is_502(script: Any, reason: str) -> None:
    async with (
        raw_upstream(script) as upstream,
        serving(table(provider(upstream.url), routes=[route(max_attempts=1)])) as rig,
    ):
        answer = await rig.ask()

    pin(
        answer,
        ErrorCode.UPSTREAM_MALFORMED,
        f"Endpoint chat/openai/e0 gave an answer that cannot be used: {reason}; 1 attempt was made. "
        "Check that its URL is that of an OpenAI-compatible API; such URLs mostly end in /v1.",
    )


class BrokenTransport(PooledTransport):
    """An engine with a bug, in a frame that knows a provider's key."""

    async def send(
        self,
        request: UpstreamRequest,
        connected: Callable[[], None],
        tls: TlsSettings = DEFAULT_TLS,
        *,
        again: bool = False,
    ) -> UpstreamAnswer:
        assert UPSTREAM_KEY in request.headers["authorization"]
        raise AttributeError("a bug")


async def test_a_bug_of_our_own_is_500_and_leads_to_the_log(
    fake: FakeProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(table(provider(fake.url)), transport=BrokenTransport()) as rig:
        answer = await rig.ask()

    request_id = answer.headers["x-headgate-request-id"]
    pin(
        answer,
        ErrorCode.INTERNAL,
        f"The gateway failed on this request by a bug of its own. Its log tells more under {request_id}.",
    )
    logged = capsys.readouterr().out
    assert request_id in logged
    assert "AttributeError: a bug" in logged
    assert UPSTREAM_KEY not in logged


async def test_bytes_that_are_not_http_are_answered_in_the_callers_dialect(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
        writer.write(b"\x16\x03\x01 this is TLS\r\n\r\n")
        answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.0 400 Bad Request\r\n")
    assert answer.endswith(
        b'{"error":{"message":"The request could not be read: its head is not HTTP/1.1. Send it again, '
        b'whole.","type":"invalid_request_error","code":"malformed_body","param":null,"headgate":"HG1004"}}'
    )


async def test_a_head_with_a_line_too_long_is_431(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        answer = await rig.ask(headers={"x-long": "x" * 20_000})

    assert (answer.status, answer.error["headgate"]) == (431, "HG1020")
    assert answer.error["message"] == (
        "A line of the request's head is longer than 16384 bytes. Send fewer or shorter headers."
    )


async def test_a_body_over_the_limit_is_refused_before_it_is_read(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url)), settings(max_body_bytes=1000)) as rig:
        answer = await rig.ask({**CHAT, "padding": "x" * 1000})
        after = await rig.ask()

    pin(
        answer,
        ErrorCode.BODY_TOO_LARGE,
        "The request body is larger than the 1000 bytes that this gateway takes. Send less, "
        "or have its limit raised.",
    )
    assert after.status == 200


async def test_a_chunked_body_over_the_limit_is_refused_while_it_is_read(fake: FakeProvider) -> None:
    async def endless() -> Any:
        for _ in range(20):
            yield b"x" * 100

    async with serving(table(provider(fake.url)), settings(max_body_bytes=1000)) as rig:
        answer = await rig.ask(data=endless())

    assert answer.error["headgate"] == "HG1006"


async def test_a_body_whose_encoding_is_a_lie_is_refused(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        answer = await rig.ask(data=b"not gzip at all", headers={"content-encoding": "gzip"})

    pin(
        answer,
        ErrorCode.MALFORMED_BODY,
        "The request could not be read: its body is not encoded as its headers say. Send it again, whole.",
    )


async def test_a_caller_that_stops_in_the_middle_of_its_body_is_given_up(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url)), settings(body_idle_s=0.03)) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
        head = f"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\napi-key: {KEY}\r\ncontent-length: 9\r\n\r\n{{"
        writer.write(head.encode())
        answer = await reader.readuntil(b"}}")
        writer.close()

    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert (
        b"The request could not be read: its body stopped after 1 bytes and nothing came for 0.03 s. "
        b"Send it again, whole."
    ) in answer


async def test_a_provider_whose_certificate_is_not_trusted_is_502(tmp_path: Path) -> None:
    async with (
        operator_end(issue_certificate(tmp_path)) as untrusted,
        serving(table(provider(untrusted.url), routes=[route(max_attempts=1)])) as rig,
    ):
        answer = await rig.ask()

    pin(
        answer,
        ErrorCode.UPSTREAM_UNREACHABLE,
        "Endpoint chat/openai/e0 could not be reached: certificate not accepted: self-signed certificate; "
        "1 attempt was made. Try again; if it stays so, the provider is down or its URL is wrong.",
    )


async def test_a_caller_that_asks_first_is_told_to_go_on(fake: FakeProvider) -> None:
    async with serving(table(provider(fake.url))) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
        body = b'{"model":"gpt"}'
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\n"
            f"authorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode())
        told = await reader.readuntil(b"\r\n\r\n")
        writer.write(body)
        answer = await reader.read()
        writer.close()

    assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
