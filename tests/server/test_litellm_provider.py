"""Providers that only litellm knows, through a whole gateway; and gateways that need no litellm."""

import os
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

from gateway_runtime.contract.table import LitellmOptions
from tests.contract.tables import build_target
from tests.server.nativeupstream import NativeUpstream, native_upstream, speaking
from tests.server.rig import route, serving, table
from tests.server.test_providers import ASKED, openai_client


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """To load litellm takes variables out of it, which other tests may have set."""
    kept = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(kept)


def databricks(upstream: NativeUpstream) -> table:  # type: ignore[valid-type]
    spoken = msgspec.structs.replace(
        speaking("openai", upstream.url, name="databricks"),
        type="litellm",
        wire="litellm",
        litellm=LitellmOptions(provider="databricks"),
    )
    return table(spoken, routes=[route("some-model", targets=[build_target("databricks")])])


async def test_a_provider_of_the_long_tail_answers_through_litellms_translators() -> None:
    async with (
        native_upstream("openai") as upstream,
        serving(databricks(upstream)) as rig,
        openai_client(rig) as client,
    ):
        whole = await client.chat.completions.create(model="some-model", messages=ASKED)
        stream = await client.chat.completions.create(model="some-model", messages=ASKED, stream=True)
        chunks = [chunk async for chunk in stream]
        said, streamed = upstream.said, upstream.streamed

    assert whole.choices[0].message.content == said["choices"][0]["message"]["content"]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "".join(chunk.get("content", "") for chunk in streamed["chunks"])
    assert [came.path for came in upstream.seen] == ["/v1/chat/completions"] * 2
    assert upstream.seen[0].headers["authorization"] == "Bearer sk-planted-upstream-key"


async def test_a_provider_that_litellm_cannot_serve_says_so_and_the_rest_serves() -> None:
    async with native_upstream("openai") as upstream:
        lost = msgspec.structs.replace(
            speaking("openai", upstream.url, name="lost"),
            type="litellm",
            wire="litellm",
            litellm=LitellmOptions(provider="replicate"),
        )
        routes = [
            route("lost-model", targets=[build_target("lost")], name="lost"),
            route("some-model", targets=[build_target("openai")]),
        ]
        async with serving(table(lost, speaking("openai", upstream.url), routes=routes)) as rig:
            refused = await rig.ask({"model": "lost-model", "messages": ASKED})
            served = await rig.ask({"model": "some-model", "messages": ASKED})

    assert refused.status == 503
    assert refused.error["message"].startswith("Provider chat/lost cannot be used by this gateway: ")
    assert served.status == 200


def test_a_gateway_imports_no_litellm_unless_a_provider_needs_it() -> None:
    program = (
        "import sys, gateway_runtime.workers, headgate.cli, gateway_runtime.server.main; "
        "print('litellm' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "False"
