"""No row of a request that was answered is lost to `kill -9`, and none is twice."""

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from gateway_runtime.ledger.ledger import Ledger, Pace
from gateway_runtime.ledger.place import open_ledger
from gateway_runtime.ledger.row import UsageRow
from tests.server.ledgers import read_rows
from tests.server.rig import CHAT, KEY
from tests.upstream.scripted import wait_until

CALLERS = 8
HEADERS = {"authorization": f"Bearer {KEY}"}


class Crowd:
    """Callers who ask without a pause, and remember what they were answered."""

    def __init__(self, port: int, until: int) -> None:
        self._url = f"http://127.0.0.1:{port}/v1/chat/completions"
        self._until = until
        self.answered: dict[str, bool] = {}
        """Request ids, and whether it was a stream."""
        self.enough = asyncio.Event()

    async def ask(self, session: aiohttp.ClientSession, draw: random.Random) -> None:
        """Until the gateway is gone."""
        while True:
            streams = draw.random() < 0.5
            try:
                async with session.post(
                    self._url, json={**CHAT, "stream": streams}, headers=HEADERS
                ) as answer:
                    seen = b""
                    async for piece in answer.content.iter_any():
                        seen += piece
                        if seen.endswith(b"data: [DONE]\n\n"):
                            break  # where clients stop to read
            except (aiohttp.ClientError, OSError):
                return
            if seen.endswith(b"data: [DONE]\n\n" if streams else b"}"):
                self.answered[answer.headers["x-headgate-request-id"]] = streams
                if len(self.answered) >= self._until:
                    self.enough.set()


async def run_and_kill(path: Path, until: int) -> dict[str, bool]:
    """A gateway that is killed while it serves, once so many are answered: what they were."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.server.ledger_child", str(path), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    while not (line := await child.stdout.readline()).startswith(b"port "):
        assert line, "it ended"
    crowd = Crowd(int(line[5:]), until)
    async with aiohttp.ClientSession() as session:
        tasks = [asyncio.create_task(crowd.ask(session, random.Random(number))) for number in range(CALLERS)]
        await crowd.enough.wait()
        os.kill(child.pid, signal.SIGKILL)
        await asyncio.gather(*tasks)
    assert await child.wait() == -signal.SIGKILL
    return crowd.answered


def take_over(path: Path) -> Ledger:
    """What the next gateway does at its start."""
    ledger = open_ledger(
        str(path),
        {},
        lambda: 1_800_000_000.0,
        owner="heir",
        keep_days=None,
        spool=Path(f"{path}-spool"),
        spool_bytes=64 << 20,
    )
    ledger._pace = Pace(batch_s=0.001)
    ledger.start()
    return ledger


@pytest.mark.parametrize("is_away", [False, True])
async def test_every_request_that_was_answered_has_its_row_once(tmp_path: Path, is_away: bool) -> None:
    """is_away: the store was, all the time, so that nothing but the journal has the rows."""
    path = tmp_path / "usage.db"
    if is_away:
        path.mkdir()
    answered = await run_and_kill(path, 150)
    answered |= await run_and_kill(path, 80)
    if is_away:
        path.rmdir()
    ledger = take_over(path)
    folder = Path(f"{path}-spool")
    await wait_until(lambda: not any("heir" not in file.name for file in folder.iterdir()))
    await asyncio.to_thread(ledger.close)
    left = await asyncio.to_thread(os.listdir, folder)
    rows: dict[str, UsageRow] = {}
    for row in read_rows(path):
        assert row.request_id not in rows
        rows[row.request_id] = row

    assert answered.keys() - rows.keys() == set()
    assert all(
        (rows[name].end, rows[name].stream, rows[name].output_tokens is not None)
        == ("answered", streams, True)
        for name, streams in answered.items()
    )
    assert len(rows) - len(answered) <= 4 * CALLERS  # under way when it was killed
    assert left == []
