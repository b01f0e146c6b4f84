"""Upstreams that speak each provider's own API, with the answers of the wires' golden pairs.

What a provider would answer stands in `tests/wires/testdata/<wire>/`; here it goes over a socket. `seen`
keeps what came in, whole.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from gateway_runtime.contract.ids import EndpointId, ProviderId
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import (
    AzureOptions,
    BedrockOptions,
    Credential,
    Endpoint,
    Provider,
    VertexOptions,
)
from tests.contract.tables import build_provider
from tests.server.rig import CIRCUIT, TIMEOUTS
from tests.wires.golden import TESTDATA
from tests.wires.test_bedrock import frame_events

KEYS = {
    "bedrock": "[default]\naws_access_key_id = AKIDPLANTED12345678\n"
    "aws_secret_access_key = planted/secret+key\n",
}
PLANTED = "sk-planted-upstream-key"
WIRES = ("openai", "azure", "anthropic", "google", "bedrock", "cohere", "ollama")
_BASES = {
    "openai": "/v1",
    "azure": "",
    "anthropic": "/v1",
    "google": "/v1beta",
    "vertex": "/v1",
    "bedrock": "",
    "cohere": "/v2",
    "ollama": "/api",
}
_TESTDATA = {"azure": "openai", "vertex": "google"}
_EVENTS = "text/event-stream"
_STREAM_TYPES = {"bedrock": "application/vnd.amazon.eventstream", "ollama": "application/x-ndjson"}


_TWO = [[1.0, 0.5], [0.25, -1.0]]
_VECTORS: dict[str, Any] = {
    "google": {"embeddings": [{"values": vector} for vector in _TWO]},
    "vertex": {
        "predictions": [{"embeddings": {"values": v, "statistics": {"token_count": 1}}} for v in _TWO]
    },
    "cohere": {"id": "e", "embeddings": {"float": _TWO}, "meta": {"billed_units": {"input_tokens": 2}}},
    "ollama": {"model": "m", "embeddings": _TWO, "prompt_eval_count": 2},
}
"""For two texts."""


class Came(NamedTuple):
    path: str
    """With its query."""
    host: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class NativeUpstream:
    def __init__(self, wire: str) -> None:
        self.wire = wire
        self.situation = "text"
        """Of the golden pairs: `answer-<situation>`, `stream-<situation>`."""
        self.refusal: tuple[int, bytes] | None = None
        self.headers: dict[str, str] = {}
        """Of the answers."""
        self.seen: list[Came] = []
        self.url = ""

    @property
    def said(self) -> Any:
        """What the hub makes of the whole answer."""
        return self._read_golden(f"answer-{self.situation}.out.json")

    @property
    def streamed(self) -> Any:
        """And of the stream."""
        return self._read_golden(f"stream-{self.situation}.out.json")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        came = Came(request.path_qs, request.host, headers, body)
        self.seen.append(came)
        if self.refusal is not None:
            status, words = self.refusal
            return web.Response(
                status=status, body=words, headers=self.headers, content_type="application/json"
            )
        if self.situation == "embeddings":
            return web.json_response(_VECTORS[self.wire])
        if not self._is_streamed(came):
            said = self._read_golden(f"answer-{self.situation}.in.json")["body"]
            return web.json_response(said, headers=self.headers)
        kind = _STREAM_TYPES.get(self.wire, _EVENTS)
        response = web.StreamResponse(headers={"content-type": kind, **self.headers})
        await response.prepare(request)
        data = self._read_stream()
        for start in range(0, len(data), 100):  # pieces end anywhere
            await response.write(data[start : start + 100])
        await response.write_eof()
        return response

    def _is_streamed(self, came: Came) -> bool:
        if self.wire in ("google", "vertex"):
            return ":streamGenerateContent" in came.path
        if self.wire == "bedrock":
            return came.path.endswith("/converse-stream")
        return came.json.get("stream") is True

    def _read_stream(self) -> bytes:
        folder = TESTDATA / _TESTDATA.get(self.wire, self.wire)
        path = next(folder.glob(f"stream-{self.situation}.in.*"))
        return (
            frame_events(json.loads(path.read_text())["events"])
            if path.suffix == ".json"
            else path.read_bytes()
        )

    def _read_golden(self, name: str) -> Any:
        return json.loads((TESTDATA / _TESTDATA.get(self.wire, self.wire) / name).read_text())


@asynccontextmanager
async def native_upstream(wire: str) -> AsyncIterator[NativeUpstream]:
    upstream = NativeUpstream(wire)
    runner = web.ServerRunner(web.Server(upstream.handle))  # type: ignore[arg-type]
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}{_BASES[wire]}"
    try:
        yield upstream
    finally:
        await runner.cleanup()


def speaking(wire: Any, *urls: str, name: str = "", keys: Sequence[str] = ()) -> Provider:
    """A provider of the table that speaks it."""
    name = name or wire
    values = keys or (KEYS.get(wire, PLANTED),)
    return msgspec.structs.replace(
        build_provider(
            name, credentials=[Credential(name=f"key-{i}", value=Secret(v)) for i, v in enumerate(values)]
        ),
        id=ProviderId(f"chat/{name}"),
        type=wire,
        wire=wire,
        azure=AzureOptions(api_version="2024-10-21") if wire == "azure" else None,
        vertex=VertexOptions(project="p", location="europe-west1") if wire == "vertex" else None,
        bedrock=BedrockOptions(region="eu-central-1") if wire == "bedrock" else None,
        endpoints=tuple(Endpoint(id=EndpointId(f"chat/{name}/e{i}"), url=url) for i, url in enumerate(urls)),
        circuit=CIRCUIT,
        timeouts=TIMEOUTS,
        probe=None,
    )
