"""A caller who has nothing to do with it: its own key, route and provider, one request after the other.

`run` starts one beside all scenarios. In: a port. Out: the times that its requests took, and complaints about
those that were not answered well.
"""

import asyncio
import time
from typing import Final

from tests.chaos.reading import Reading, read_answer

KEY: Final = "the-innocents-key"
MODEL: Final = "innocent"
_BODY: Final = b'{"model":"innocent","messages":[{"role":"user","content":"Hello"}]}'
_REQUEST: Final = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer the-innocents-key\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)
_PAUSE_S: Final = 0.01


class Innocent:
    def __init__(self, port: int) -> None:
        self._port = port
        self.times_s: list[float] = []
        self.complaints: list[str] = []

    async def run(self) -> None:
        """Until it is cancelled."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
        try:
            while True:
                began_s = time.perf_counter()
                reading = Reading()
                writer.write(_REQUEST)
                await read_answer(reader, 0.0, reading)
                self.times_s.append(time.perf_counter() - began_s)
                if reading.status != 200:
                    self.complaints.append(f"{reading.status}: {bytes(reading.body[:200])!r}")
                if not reading.keeps_open:
                    writer.close()
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
                await asyncio.sleep(_PAUSE_S)
        finally:
            writer.close()


def find_p99(times_s: list[float]) -> float:
    return sorted(times_s)[int(len(times_s) * 0.99)] if times_s else 0.0
