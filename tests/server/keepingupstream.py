"""A server with OpenAI's API beyond chat, on a real socket: what is asked of it is kept in `seen`, what it is
given to keep it keeps.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Heard(NamedTuple):
    method: str
    path: str
    """With its query."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class KeepingUpstream:
    def __init__(self, name: str) -> None:
        self.name = name
        self.url = ""
        self.seen: list[Heard] = []
        self.files: dict[str, bytes] = {}
        self.responses: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, Answering] = {}
        """By path, what is answered instead."""
        self.reached = asyncio.Event()
        """A body has begun to come, or an answer to go."""
        self.stopped = asyncio.Event()
        """The other side has gone away."""

    @property
    def paths(self) -> list[str]:
        return [heard.path for heard in self.seen]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.reached.set()
        try:
            body = await request.content.read()
        except (ConnectionError, asyncio.CancelledError):
            self.stopped.set()
            raise
        headers = {name.lower(): value for name, value in request.headers.items()}
        heard = Heard(request.method, request.path_qs, headers, body)
        self.seen.append(heard)
        try:
            own = self.answers.get(request.path)
            if own is not None:
                return await own(request)
            return await self._answer(request, heard)
        except (ConnectionError, asyncio.CancelledError):
            self.stopped.set()
            raise

    async def _answer(self, request: web.Request, heard: Heard) -> web.StreamResponse:
        parts = request.path.removeprefix("/v1/").split("/")
        match parts:
            case ["responses", *rest]:
                return await self._answer_response(request, heard, rest)
            case ["files", *rest]:
                return self._answer_file(heard, rest)
            case ["batches", *rest]:
                return self._answer_batch(heard, rest)
            case ["rerank"]:
                results = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]
                return web.json_response({"id": "rr-1", "model": heard.json["model"], "results": results})
            case ["audio", "transcriptions"]:
                return web.json_response({"text": "Hello.", "usage": {"type": "duration", "seconds": 2}})
        return refuse(404, f"no {request.path}")

    async def _answer_response(
        self, request: web.Request, heard: Heard, rest: list[str]
    ) -> web.StreamResponse:
        if not rest:
            asked = heard.json
            before = asked.get("previous_response_id")
            if before is not None and before not in self.responses:
                return refuse(400, f"Previous response with id '{before}' not found.")
            made = build_response(f"resp_{self.name}{len(self.responses)}", asked["model"], before)
            self.responses[made["id"]] = made
            if asked.get("stream"):
                return await stream_events(request, build_events(made))
            return web.json_response(made)
        kept = self.responses.get(rest[0])
        if kept is None:
            return refuse(404, f"Response with id '{rest[0]}' not found.")
        if heard.method == "DELETE":
            del self.responses[rest[0]]
            return web.json_response({"id": rest[0], "object": "response", "deleted": True})
        if rest[1:] == ["cancel"]:
            return web.json_response({**kept, "status": "cancelled"})
        if rest[1:] == ["input_items"]:
            item = {"id": "msg_in", "type": "message", "role": "user", "content": []}
            items = {"object": "list", "data": [item], "first_id": "msg_in", "last_id": "msg_in"}
            return web.json_response({**items, "has_more": False})
        if request.query.get("stream") == "true":
            return await stream_events(
                request, build_events(kept)[int(request.query["starting_after"]) + 1 :]
            )
        return web.json_response(kept)

    def _answer_file(self, heard: Heard, rest: list[str]) -> web.StreamResponse:
        if not rest:
            file_id = f"file-{self.name}{len(self.files)}"
            boundary = heard.headers["content-type"].partition("boundary=")[2].encode()
            for part in heard.body.split(b"--" + boundary):
                if b"filename=" in part:
                    self.files[file_id] = part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
            return web.json_response(self._describe_file(file_id))
        if rest[0] not in self.files:
            return refuse(404, f"No such File object: {rest[0]}")
        if heard.method == "DELETE":
            del self.files[rest[0]]
            return web.json_response({"id": rest[0], "object": "file", "deleted": True})
        if rest[1:] == ["content"]:
            return web.Response(body=self.files[rest[0]], content_type="application/jsonl")
        return web.json_response(self._describe_file(rest[0]))

    def _describe_file(self, file_id: str) -> dict[str, Any]:
        size = len(self.files[file_id])
        described = {"id": file_id, "object": "file", "bytes": size, "created_at": 1, "filename": "b.jsonl"}
        return {**described, "purpose": "batch", "status": "processed"}

    def _answer_batch(self, heard: Heard, rest: list[str]) -> web.StreamResponse:
        file_id = heard.json["input_file_id"] if not rest else next(iter(self.files))
        if file_id not in self.files:
            return refuse(404, f"No such File object: {file_id}")
        self.files.setdefault("file-out", b'{"id":"batch_req_1"}\n')
        status = "cancelling" if rest[1:] == ["cancel"] else "completed"
        batch = {"id": f"batch_{self.name}", "object": "batch", "endpoint": "/v1/chat/completions"}
        files = {"input_file_id": file_id, "output_file_id": "file-out", "error_file_id": None}
        more = {"completion_window": "24h", "created_at": 1, "status": status}
        return web.json_response({**batch, **files, **more})


def build_response(response_id: str, model: str, before: str | None) -> dict[str, Any]:
    text = {"type": "output_text", "text": "Hello.", "annotations": []}
    message = {"id": f"msg_{response_id}", "type": "message", "role": "assistant", "status": "completed"}
    return {
        "id": response_id,
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": [{**message, "content": [text]}],
        "parallel_tool_calls": True,
        "previous_response_id": before,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": 7,
            "input_tokens_details": {"cached_tokens": 3},
            "output_tokens": 2,
            "output_tokens_details": {"reasoning_tokens": 1},
            "total_tokens": 9,
        },
    }


def build_events(response: dict[str, Any]) -> list[dict[str, Any]]:
    item = response["output"][0]
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    part = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **part, "part": {**item["content"][0], "text": ""}},
        {"type": "response.output_text.delta", **part, "delta": "Hel", "logprobs": []},
        {"type": "response.output_text.delta", **part, "delta": "lo.", "logprobs": []},
        {"type": "response.output_text.done", **part, "text": "Hello.", "logprobs": []},
        {"type": "response.content_part.done", **part, "part": item["content"][0]},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": response},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


async def stream_events(request: web.Request, events: list[dict[str, Any]]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    data = b"".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events)
    for start in range(0, len(data), 150):  # pieces end anywhere
        await response.write(data[start : start + 150])
    await response.write_eof()
    return response


def refuse(status: int, message: str) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return web.json_response({"error": error}, status=status)


@asynccontextmanager
async def keeping_upstream(name: str = "a") -> AsyncIterator[KeepingUpstream]:
    upstream = KeepingUpstream(name)
    server = web.Server(upstream.handle, handler_cancellation=True)  # type: ignore[arg-type]
    runner = web.ServerRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield upstream
    finally:
        await runner.cleanup()
