"""`headgate gateway --workers N` as users run it, its log lines as events to wait for, and callers."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from gateway_runtime.contract.stream import Version
from gateway_runtime.contract.table import RoutingTable
from gateway_runtime.server.disk import TableStore
from tests.server.rig import CHAT, KEY
from tests.server.test_disk import save

HEADERS = {"authorization": f"Bearer {KEY}"}


class PodRig:
    def __init__(self, process: asyncio.subprocess.Process, session: aiohttp.ClientSession) -> None:
        self.process = process
        self.session = session
        self.events: list[dict[str, Any]] = []
        """All log lines so far, of the parent and of the workers."""
        self._news = asyncio.Condition()
        self._over = False
        self.scheme = "http"

    @property
    def port(self) -> int:
        return int(self.find("gateway listens")[0]["port"])

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/v1/chat/completions"

    async def read_events(self) -> None:
        """Until the last process has closed its stderr."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            async with self._news:
                plain = not line.startswith(b"{")
                self.events.append({"event": line.decode()} if plain else json.loads(line))
                self._news.notify_all()
        async with self._news:
            self._over = True
            self._news.notify_all()

    def find(self, event: str, **fields: object) -> list[dict[str, Any]]:
        return [
            line
            for line in self.events
            if line["event"] == event and all(line.get(name) == value for name, value in fields.items())
        ]

    async def wait_for(self, event: str, times: int = 1, **fields: object) -> dict[str, Any]:
        """The newest line of this event, once there are so many."""
        async with self._news:
            await self._news.wait_for(lambda: self._over or len(self.find(event, **fields)) >= times)
        found = self.find(event, **fields)
        assert len(found) >= times, f"{event} {fields} never came: {self.events}"
        return found[-1]

    async def ask(self, body: Any = None) -> int:
        """On a connection of its own, so that the kernel chooses a worker anew. Returns the status."""
        headers = {**HEADERS, "connection": "close"}
        async with self.session.post(self.url, json=body or CHAT, headers=headers) as answer:
            await answer.read()
            return answer.status

    async def look(self, path: str) -> Any:
        """At the admin port: JSON as it means, else the text."""
        admin_port = self.find("gateway listens")[0]["admin_port"]
        async with self.session.get(f"http://127.0.0.1:{admin_port}{path}") as answer:
            return await (answer.text() if path == "/metrics" else answer.json())

    async def find_workers(self) -> list[dict[str, Any]]:
        workers: list[dict[str, Any]] = (await self.look("/debug/table"))["workers"]
        return workers

    async def ask_until_both_served(self) -> int:
        """Returns how many requests that took."""
        for number in range(1, 200):
            assert await self.ask() == 200
            served = [worker["endpoints"][0]["requests"] for worker in await self.find_workers()]
            if all(served):
                assert sum(served) == number
                return number
        raise AssertionError("one worker got all the requests")


@asynccontextmanager
async def serving_pod(
    state_dir: Path, first: RoutingTable | None, *options: str, workers: int = 2
) -> AsyncIterator[PodRig]:
    """All workers listen. The table is on the disk when they start."""
    if first is not None:
        TableStore(state_dir).save(save(first, Version(1, 1)))
    command: Sequence[str] = (
        *(sys.executable, "-m", "headgate.cli", "gateway", "--workers", str(workers)),
        *(
            "--name",
            "pod-0",
            "--port",
            "0",
            "--admin-port",
            "0",
            "--state-dir",
            str(state_dir),
            "--drain",
            "5",
        ),
    )
    process = await asyncio.create_subprocess_exec(
        *command, *options, stderr=asyncio.subprocess.PIPE, env=os.environ
    )
    async with aiohttp.ClientSession() as session:
        rig = PodRig(process, session)
        reading = asyncio.create_task(rig.read_events())
        try:
            await rig.wait_for("gateway listens")
            yield rig
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGTERM)
            await process.wait()
            await reading
