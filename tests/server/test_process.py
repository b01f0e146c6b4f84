"""The gateway as a process: it listens, serves from its disk, and SIGTERM ends it in order."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path

import aiohttp
import pytest

from gateway_runtime.contract.stream import Version
from gateway_runtime.providers.fake import FakeScript
from gateway_runtime.server.disk import TableStore
from gateway_runtime.server.fake_provider import FakeProvider
from tests.server.rig import CHAT, KEY, provider, table
from tests.server.test_disk import save

PROGRAM = """
import asyncio, sys
from pathlib import Path
from gateway_runtime.server.main import run_gateway
from gateway_runtime.server.settings import GatewaySettings
asyncio.run(run_gateway(GatewaySettings(name="g", port=0, admin_port=0, state_dir=Path(sys.argv[1]))))
"""


async def start(state_dir: Path) -> tuple[Process, dict[str, int]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(state_dir), stderr=asyncio.subprocess.PIPE, env=os.environ
    )
    assert process.stderr is not None
    async for line in process.stderr:
        event = json.loads(line)
        if event["event"] == "gateway listens":
            return process, event
    raise AssertionError("the gateway never listened")


async def read_events(process: Process) -> list[str]:
    assert process.stderr is not None
    return [json.loads(line)["event"] async for line in process.stderr]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_a_stream_finish_and_ends_with_0(
    tmp_path: Path, fake: FakeProvider, number: signal.Signals
) -> None:
    fake.script = FakeScript(tokens_per_s=200)
    TableStore(tmp_path).save(save(table(provider(fake.url)), Version(1, 1)))
    process, event = await start(tmp_path)
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as session:
        url = f"http://127.0.0.1:{event['port']}/v1/chat/completions"
        async with session.post(url, json={**CHAT, "stream": True}) as answer:
            process.send_signal(number)
            body = await answer.read()
    events = await read_events(process)
    code = await process.wait()

    assert body.endswith(b"data: [DONE]\n\n")
    assert (code, events[-2:]) == (0, ["gateway drains", "gateway stopped"])


async def test_a_second_signal_cuts_the_drain_short(tmp_path: Path, fake: FakeProvider) -> None:
    fake.script = FakeScript(latency_s=60)
    TableStore(tmp_path).save(save(table(provider(fake.url)), Version(1, 1)))
    process, event = await start(tmp_path)
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as session:
        url = f"http://127.0.0.1:{event['port']}/v1/chat/completions"
        asking = asyncio.create_task(session.post(url, json=CHAT))  # type: ignore[arg-type]
        await fake.wait_until_seen(lambda seen: seen.under_way == 1)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        drains = json.loads(await process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        code = await process.wait()
        with pytest.raises(aiohttp.ClientError):
            await asking

    assert drains["event"] == "gateway drains"
    assert code == 0
