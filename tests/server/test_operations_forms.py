"""Endpoints that take a form, and what is kept for batches: the file goes through as it comes, wherever in
the form its model stands.
"""

import asyncio
import dataclasses
import io
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import openai
import pytest
from aiohttp import web

from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.table import FallbackRule, Model
from gateway_runtime.contract.tenant import Limit
from gateway_runtime.providers.seal import open_id
from gateway_runtime.server.spool import MEMORY_BYTES
from tests.contract.tables import build_target
from tests.server.keepingupstream import KeepingUpstream, keeping_upstream, refuse
from tests.server.nativeupstream import native_upstream, speaking
from tests.server.rig import DEAD_URL, KEY, Answer, Rig, provider, route, serving, settings, table, tenant

MODELS = [Model(name="gpt", upstream_name="theirs-is-longer")]
LARGE = bytes(range(256)) * (MEMORY_BYTES // 64)  # four times what is kept in memory
OTHER_KEY = "another-teams-key"
OTHERS = msgspec.structs.replace(tenant(key=OTHER_KEY), id=TenantId("chat/others"))


def build_form(*parts: tuple[str, bytes], boundary: str = "b0und4ry", end: bool = True) -> bytes:
    """parts: names and contents; the one called `file` is a file."""
    data = b""
    for name, content in parts:
        more = '; filename="a.mp3"\r\nContent-Type: audio/mpeg' if name == "file" else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
        data += head.encode() + content + b"\r\n"
    return data + (f"--{boundary}--\r\n".encode() if end else b"")


FORM_HEADERS = {"content-type": "multipart/form-data; boundary=b0und4ry"}


async def send_form(
    rig: Rig, form: bytes, path: str = "/v1/audio/transcriptions", *, key: str = KEY, **headers: str
) -> Answer:
    """In pieces, as clients send files."""
    sent = FORM_HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    return await rig.ask(data=io.BytesIO(form), path=path, key=key, headers=sent)


@asynccontextmanager
async def behind(
    *, max_upload_bytes: int = 8 * 1024 * 1024, **options: Any
) -> AsyncIterator[tuple[Rig, KeepingUpstream]]:
    async with keeping_upstream() as upstream:
        made = table(provider(upstream.url, models=MODELS), tenants=[tenant(**options), OTHERS])
        chosen = dataclasses.replace(settings(body_idle_s=5.0), max_upload_bytes=max_upload_bytes)
        async with serving(made, chosen) as rig:
            yield rig, upstream


def client_of(rig: Rig, key: str = KEY, **more: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key=key, max_retries=0, **more)


@pytest.mark.parametrize("content", [b"sound", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("first", ["model", "file"])
async def test_a_recording_is_written_down_wherever_its_model_stands(first: str, content: bytes) -> None:
    parts = [("model", b"gpt"), ("file", content), ("language", b"en")]
    if first == "file":
        parts = [parts[1], parts[2], parts[0]]
    async with behind() as (rig, upstream):
        answer = await send_form(rig, build_form(*parts))

    replaced = [(name, b"theirs-is-longer" if name == "model" else value) for name, value in parts]
    assert (answer.status, answer.json["text"]) == (200, "Hello.")
    assert upstream.seen[0].body == build_form(*replaced)
    assert upstream.seen[0].headers["content-type"] == FORM_HEADERS["content-type"]
    assert upstream.seen[0].headers["content-length"] == str(len(build_form(*replaced)))
    assert answer.headers["x-headgate-model"] == "gpt"


async def test_openais_client_sends_recordings() -> None:
    async with behind() as (rig, upstream), client_of(rig) as client:
        answer = await client.audio.transcriptions.create(model="gpt", file=("a.mp3", LARGE), language="de")

    assert answer.text == "Hello."
    assert LARGE in upstream.seen[0].body
    assert b"theirs-is-longer" in upstream.seen[0].body


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"Hello.\n", "text/plain"), (b'data: {"type":"transcript.text.done"}\n\n', "text/event-stream")],
)
async def test_an_answer_that_is_no_json_passes_as_it_comes(body: bytes, content_type: str) -> None:
    async def answer_so(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=content_type)

    async with behind() as (rig, upstream):
        upstream.answers["/v1/audio/translations"] = answer_so
        form = build_form(("model", b"gpt"), ("file", b"x"))
        answer = await send_form(rig, form, "/v1/audio/translations")

    assert (answer.body, answer.headers["content-type"]) == (body, content_type)


async def test_images_are_edited_and_varied_with_openais_client() -> None:
    async def paint(request: web.Request) -> web.StreamResponse:
        return web.json_response({"created": 1, "data": [{"b64_json": "aGk="}]})

    async with keeping_upstream() as upstream:
        made = table(provider(upstream.url), routes=[route("gpt", "dall-e-2")])
        async with serving(made) as rig, client_of(rig) as client:
            upstream.answers["/v1/images/edits"] = upstream.answers["/v1/images/variations"] = paint
            edited = await client.images.edit(model="gpt", image=("a.png", b"png"), prompt="A hat")
            varied = await client.images.with_raw_response.create_variation(image=("a.png", b"png"))

    assert edited.data is not None
    assert edited.data[0].b64_json == "aGk="
    assert varied.headers["x-headgate-model"] == "dall-e-2"
    assert b"dall-e-2" not in upstream.seen[1].body


async def test_a_form_goes_out_before_it_is_whole() -> None:
    """Its model came first: the provider has begun to read when the caller has yet to send the rest."""
    async with behind() as (rig, upstream):
        whole = build_form(("model", b"gpt"), ("file", LARGE))

        async def send() -> AsyncIterator[bytes]:
            yield whole[:1000]
            async with asyncio.timeout(5.0):
                await upstream.reached.wait()
            yield whole[1000:]

        answer = await rig.ask(data=send(), path="/v1/audio/transcriptions", headers=FORM_HEADERS)

    assert answer.status == 200
    assert upstream.seen[0].headers["transfer-encoding"] == "chunked"
    assert upstream.seen[0].body == whole.replace(b"\r\n\r\ngpt\r\n", b"\r\n\r\ntheirs-is-longer\r\n")


@pytest.mark.parametrize("first", ["model", "file"])
async def test_another_attempt_gets_the_whole_form_again(first: str) -> None:
    parts = [("model", b"gpt"), ("file", LARGE)]
    form = build_form(*(parts if first == "model" else parts[::-1]))

    async def fail(request: web.Request) -> web.StreamResponse:
        return refuse(500, "Oh.")

    async with keeping_upstream("a") as broken, keeping_upstream("b") as good:
        broken.answers["/v1/audio/transcriptions"] = fail
        targets = [build_target(name, priority=i) for i, name in enumerate(("dead", "a", "b"))]
        providers = [provider(DEAD_URL, name="dead"), provider(broken.url, name="a")]
        made = table(*providers, provider(good.url, name="b"), routes=[route(targets=targets)])
        async with serving(made) as rig:
            answer = await send_form(rig, form)

    assert (answer.status, answer.headers["x-headgate-attempts"]) == (200, "3")
    assert (broken.seen[0].body, good.seen[0].body) == (form, form)


async def test_a_caller_that_leaves_in_the_middle_of_its_form_stops_the_provider() -> None:
    async with behind() as (rig, upstream):
        _, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
        head = (
            f"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
            f"content-type: {FORM_HEADERS['content-type']}\r\ncontent-length: 900000\r\n\r\n"
        )
        writer.write(head.encode() + build_form(("model", b"gpt"), ("file", b"x"), end=False)[:-2])
        async with asyncio.timeout(5.0):
            await upstream.reached.wait()
        writer.close()
        async with asyncio.timeout(5.0):
            await upstream.stopped.wait()

    assert upstream.seen == []


async def test_a_caller_that_pauses_in_its_form_is_no_slow_provider() -> None:
    async with keeping_upstream() as upstream:
        made = table(provider(upstream.url, models=MODELS))
        async with serving(made, dataclasses.replace(settings(), body_idle_s=0.1)) as rig:
            sent = build_form(("model", b"gpt"), ("file", b"x"), end=False)

            async def stall() -> AsyncIterator[bytes]:
                yield sent
                await asyncio.Event().wait()

            answer = await rig.ask(data=stall(), path="/v1/audio/transcriptions", headers=FORM_HEADERS)
            metrics = (await rig.look("/metrics")).body.decode()

    assert answer.status == 400
    assert answer.error["message"].startswith("The request could not be read: its body stopped after")
    assert 'headgate_circuit_state{endpoint="chat/openai/e0"} 0.0' in metrics


@pytest.mark.parametrize("told", [True, False], ids=["length", "chunked"])
async def test_a_form_that_is_too_large_is_refused(told: bool) -> None:
    form = build_form(("model", b"gpt"), ("file", b"x" * 10_000))

    async def send() -> AsyncIterator[bytes]:
        for start in range(0, len(form), 1000):
            yield form[start : start + 1000]

    async with behind(max_upload_bytes=5000) as (rig, upstream):
        data = form if told else send()
        answer = await rig.ask(data=data, path="/v1/audio/transcriptions", headers=FORM_HEADERS)

    assert (answer.status, answer.error["headgate"]) == (413, "HG1006")
    assert upstream.seen == []


@pytest.mark.parametrize(
    ("data", "content_type", "message"),
    [
        (b"{}", "application/json", "This endpoint takes a form: "),
        (b"nothing", "multipart/form-data; boundary=b0und4ry", "The form cannot be read: it does not begin"),
        (
            build_form(("file", b"x")),
            "multipart/form-data; boundary=b0und4ry",
            "The form has no field `model`. Name one, before the file where you can;",
        ),
        (
            build_form(("file", b"x"), end=False),
            "multipart/form-data; boundary=b0und4ry",
            "The form cannot be read: it ends before its last delimiter.",
        ),
    ],
)
async def test_what_is_no_form_is_the_callers_mistake(data: bytes, content_type: str, message: str) -> None:
    async with behind() as (rig, upstream):
        answer = await rig.ask(
            data=data, path="/v1/audio/transcriptions", headers={"content-type": content_type}
        )

    assert answer.status == 400
    assert answer.error["message"].startswith(message)
    assert upstream.seen == []


async def test_a_second_model_behind_the_first_never_reaches_the_provider() -> None:
    form = build_form(("model", b"gpt"), ("file", LARGE), ("model", b"dearer"))
    async with behind() as (rig, upstream):
        answer = await send_form(rig, form)

    assert answer.status == 400
    assert answer.error["message"] == "The form cannot be read: it has two fields `model`."
    assert upstream.seen == []


async def test_a_model_that_is_not_served_is_refused_before_the_file_has_come() -> None:
    async with behind() as (rig, upstream):
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.port)
        head = (
            f"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
            f"content-type: {FORM_HEADERS['content-type']}\r\ncontent-length: 900000\r\n\r\n"
        )
        writer.write(head.encode() + build_form(("model", b"unknown"), ("file", b"x"), end=False))
        answer = await asyncio.wait_for(reader.readuntil(b"}}"), 5.0)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert upstream.seen == []


async def test_a_gateway_without_a_disk_passes_forms_whose_model_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    parts = [("model", b"gpt"), ("file", LARGE)]
    async with behind() as (rig, upstream):
        passed = await send_form(rig, build_form(*parts))
        refused = await send_form(rig, build_form(*parts[::-1]))

    assert (passed.status, len(upstream.seen)) == (200, 1)
    assert LARGE in upstream.seen[0].body
    assert (refused.status, refused.error["headgate"]) == (413, "HG1006")
    assert "Send `model` before the file" in refused.error["message"]


async def test_what_could_not_be_kept_is_sent_once_and_the_first_refusal_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(request: web.Request) -> web.StreamResponse:
        return refuse(500, "Oh.")

    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    async with keeping_upstream("a") as upstream:
        upstream.answers["/v1/audio/transcriptions"] = fail
        falls = msgspec.structs.replace(route(), fallbacks=(FallbackRule(model="other"),))
        made = table(provider(upstream.url), routes=[falls, route("other", name="other")])
        async with serving(made) as rig:
            answer = await send_form(rig, build_form(("model", b"gpt"), ("file", LARGE)))

    assert (answer.status, answer.error["message"]) == (500, "Oh.")
    assert len(upstream.seen) == 1


async def test_a_provider_that_speaks_something_else_gets_no_form() -> None:
    async with native_upstream("cohere") as upstream:
        made = table(
            speaking("cohere", upstream.url), routes=[route("gpt", targets=[build_target("cohere")])]
        )
        async with serving(made) as rig:
            answer = await send_form(rig, build_form(("model", b"gpt"), ("file", b"x")))

    assert (answer.status, answer.error["headgate"]) == (400, "HG1021")


async def test_files_and_batches_make_a_round_trip() -> None:
    lines = b'{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{}}\n'
    async with behind() as (rig, upstream), client_of(rig) as client:
        file = await client.files.create(file=("b.jsonl", lines), purpose="batch")
        described = await client.files.retrieve(file.id)
        content = await client.files.content(file.id)
        batch = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        fetched = await client.batches.retrieve(batch.id)
        cancelled = await client.batches.cancel(batch.id)
        assert batch.output_file_id is not None
        output = await client.files.content(batch.output_file_id)
        deleted = await client.files.delete(file.id)

    assert (described.id, described.bytes, content.content) == (file.id, len(lines), lines)
    assert content.response.headers["content-type"] == "application/jsonl"
    assert (batch.input_file_id, fetched.id, cancelled.status) == (file.id, batch.id, "cancelling")
    assert output.content == b'{"id":"batch_req_1"}\n'
    assert (deleted.id, deleted.deleted) == (file.id, True)
    assert upstream.seen[3].json["input_file_id"] == "file-a0"
    assert {open_id(one).id for one in (file.id, batch.id) if open_id(one)} == {  # type: ignore[union-attr]
        "file-a0",
        "batch_a",
    }


async def test_a_file_is_referred_to_in_a_response_where_it_lies() -> None:
    async with keeping_upstream("a") as first, keeping_upstream("b") as second:
        targets = [build_target("a"), build_target("b", priority=1)]
        made = table(
            provider(first.url, name="a"), provider(second.url, name="b"), routes=[route(targets=targets)]
        )
        async with serving(made) as rig, client_of(rig) as client:
            file = await client.files.create(
                file=("b.pdf", b"pdf"), purpose="user_data", extra_headers={"x-headgate-provider": "b"}
            )
            part: Any = {"type": "input_file", "file_id": file.id}
            await client.responses.create(model="gpt", input=[{"role": "user", "content": [part]}])

    assert first.seen == []
    assert second.seen[1].json["input"][0]["content"][0]["file_id"] == "file-b0"


async def test_a_tenant_sees_its_own_files_alone() -> None:
    async with behind() as (rig, upstream):
        async with client_of(rig) as client:
            file = await client.files.create(file=("b.jsonl", b"{}"), purpose="batch")
        async with client_of(rig, OTHER_KEY) as others:
            with pytest.raises(openai.NotFoundError, match=f"File with id '{file.id}' not found"):
                await others.files.retrieve(file.id)
            with pytest.raises(openai.NotFoundError, match="File with id"):
                await others.files.content("file-a0")
            with pytest.raises(openai.NotFoundError, match="File with id"):
                await others.batches.create(
                    input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
                )
            with pytest.raises(openai.NotFoundError, match="Batch with id"):
                await others.batches.retrieve("batch_a")
        heard = len(upstream.seen)

    assert heard == 1


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches"])
async def test_there_is_no_list_of_what_others_keep_as_well(path: str) -> None:
    async with behind() as (rig, upstream):
        answer = await rig.ask(method="GET", path=path)

    assert (answer.status, answer.error["headgate"]) == (400, "HG1021")
    assert answer.error["message"] == (
        f"{path} has no list here: a provider's holds what all who share its key have put there, and the "
        "gateway keeps none. Keep the ids that you are given; each is served by itself."
    )
    assert upstream.seen == []


async def test_a_file_for_one_of_several_providers_names_it() -> None:
    async with (
        keeping_upstream("a") as first,
        keeping_upstream("b") as second,
        native_upstream("cohere") as third,
    ):
        made = table(
            provider(first.url, name="a"),
            provider(second.url, name="b"),
            speaking("cohere", third.url),
            routes=[route(targets=[build_target(name) for name in ("a", "b", "cohere")])],
        )
        form = build_form(("purpose", b"batch"), ("file", b"{}"))
        async with serving(made) as rig:
            unnamed = await send_form(rig, form, "/v1/files")
            wrong = await send_form(rig, form, "/v1/files", x_headgate_provider="cohere")
            named = await send_form(rig, form, "/v1/files", x_headgate_provider="chat/b")

    assert unnamed.status == wrong.status == 400
    assert unnamed.error["headgate"] == "HG1023"
    assert unnamed.error["message"] == (
        "Several providers could keep it. Name one in the header `x-headgate-provider`: chat/a, chat/b."
    )
    assert wrong.error["message"].startswith('No provider "cohere" can keep it. Name one')
    assert (named.status, len(first.seen), len(second.seen)) == (200, 0, 1)


async def test_a_file_that_nobody_can_keep_is_refused() -> None:
    async with native_upstream("cohere") as upstream:
        made = table(
            speaking("cohere", upstream.url), routes=[route("gpt", targets=[build_target("cohere")])]
        )
        async with serving(made) as rig:
            form = build_form(("purpose", b"batch"), ("file", b"{}"))
            answer = await send_form(rig, form, "/v1/files")

    assert (answer.status, answer.error["headgate"]) == (400, "HG1023")
    assert answer.error["message"] == (
        "No provider that this key reaches speaks OpenAI's API, so none can keep it."
    )


async def test_who_may_use_some_models_only_makes_no_batches() -> None:
    async with behind(models=["gpt"]) as (rig, upstream), client_of(rig) as client:
        file = await client.files.create(file=("b.jsonl", b"{}"), purpose="batch")
        with pytest.raises(openai.BadRequestError, match="a batch names its models inside its file"):
            await client.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
            )
        heard = len(upstream.seen)

    assert heard == 1


@pytest.mark.parametrize("status", [500, 200])
async def test_a_batch_that_may_have_been_made_is_not_made_twice(status: int) -> None:
    async def fail(request: web.Request) -> web.StreamResponse:
        return refuse(500, "Oh.") if status == 500 else web.Response(text="nonsense")

    async with behind() as (rig, upstream), client_of(rig) as client:
        file = await client.files.create(file=("b.jsonl", b"{}"), purpose="batch")
        upstream.answers["/v1/batches"] = fail
        with pytest.raises(openai.InternalServerError):
            await client.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
            )
        heard = len(upstream.seen)

    assert heard == 2


async def test_uploads_count_for_the_limits_and_want_a_key() -> None:
    form = build_form(("model", b"gpt"), ("file", b"x"))
    async with behind(limits=[Limit(name="rpm", amount=1, window_s=60.0)]) as (rig, _):
        statuses = [(await send_form(rig, form, key=key)).status for key in ("wrong", KEY, KEY)]

    assert statuses == [401, 200, 429]


async def test_a_form_of_aiohttp_is_read_too() -> None:
    form = aiohttp.FormData()
    form.add_field("file", b"sound", filename="ä.mp3")
    form.add_field("model", "gpt")
    async with behind() as (rig, upstream):
        answer = await rig.ask(data=form, path="/v1/audio/transcriptions")

    assert answer.status == 200
    assert b"theirs-is-longer" in upstream.seen[0].body
