"""Something that listens like Redis and answers what greets it, hears every command, and cuts the connection
where a test wants it to: what a real server does only by accident.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

OK: Final = b"+OK\r\n"


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text)


class ScriptedRedis:
    """To be given to `tests.upstream.scripted.listening`."""

    def __init__(
        self, cut_after: Callable[[Sequence[bytes]], bool], answers: dict[bytes, bytes] | None = None
    ) -> None:
        """cut_after: of a command that was read whole; the connection then ends without an answer. answers:
        by the command's name.
        """
        self.heard: list[Sequence[bytes]] = []
        self._cut_after = cut_after
        self._answers = {b"INFO": bulk(b"# Server\r\nrun_id:abc\r\n"), b"AUTH": OK, **(answers or {})}

    def count(self, name: bytes) -> int:
        return sum(command[0] == name for command in self.heard)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                command = await self._read_command(reader)
                self.heard.append(command)
                if self._cut_after(command):
                    break
                writer.write(self._answers.get(command[0], b"-ERR unknown command\r\n"))
        except asyncio.IncompleteReadError:
            pass  # the client has left
        finally:
            writer.close()

    async def _read_command(self, reader: asyncio.StreamReader) -> Sequence[bytes]:
        count = int((await reader.readuntil(b"\r\n"))[1:-2])
        words: list[bytes] = []
        for _ in range(count):
            length = int((await reader.readuntil(b"\r\n"))[1:-2])
            words.append((await reader.readexactly(length + 2))[:-2])
        return words
