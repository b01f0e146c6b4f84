"""What the parent and one worker say to each other, over a socket pair that nobody else can open.

    parent -> worker   Begin, Share, Delta, HealthReport (what the probes say), Listen, Ask, Drain, Hurry
    worker -> parent   Ack or Nack for each table, HealthReport (what its requests say), Listening, Exposition
                       or Standing for each Ask

Tables, shares and reports are the config stream's own messages in its own encoding; the orders between
processes of one pod are added here. A frame is four bytes of length and one JSON message. The end of the
stream is the end of the other process: the worker drains, the parent starts another.
"""

import asyncio
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Generic, Literal, TypeAlias, TypeVar

import msgspec

from gateway_runtime.contract.health import EndpointReport, HealthReport
from gateway_runtime.contract.ids import TenantId
from gateway_runtime.contract.stream import Ack, Delta, Nack, Share, Version
from gateway_runtime.server.settings import GatewaySettings


class Begin(msgspec.Struct, frozen=True, tag="Begin"):
    """Always the first word."""

    worker: int
    settings: GatewaySettings
    """With the real port."""


class Listen(msgspec.Struct, frozen=True, tag="Listen"):
    """You have all there is: open the port."""


class Listening(msgspec.Struct, frozen=True, tag="Listening"):
    """It is open."""


class Ask(msgspec.Struct, frozen=True, tag="Ask"):
    number: int
    """The answer repeats it."""
    what: Literal["metrics", "standing"]


class Exposition(msgspec.Struct, frozen=True, tag="Exposition"):
    number: int
    text: str
    """The worker's metrics as Prometheus would read them."""


class Standing(msgspec.Struct, frozen=True, tag="Standing"):
    """What one worker runs, and how far it has come."""

    number: int
    version: Version | None
    share: Share
    under_way: int
    endpoints: tuple[EndpointReport, ...]
    used: Mapping[TenantId, Mapping[str, int]]
    """By tenant and name of the limit: what this worker has let through in the limit's window."""


class Drain(msgspec.Struct, frozen=True, tag="Drain"):
    """Finish what is under way, as the settings say, and end."""


class Hurry(msgspec.Struct, frozen=True, tag="Hurry"):
    """End now."""


Downward: TypeAlias = Begin | Share | Delta | HealthReport | Listen | Ask | Drain | Hurry
Upward: TypeAlias = Ack | Nack | HealthReport | Listening | Exposition | Standing

_Said = TypeVar("_Said")
_Heard = TypeVar("_Heard")


class Channel(Generic[_Said, _Heard]):
    """One end. Several tasks may send, one receives."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decoder: "msgspec.json.Decoder[_Heard]",
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = decoder

    def say(self, message: _Said) -> None:
        """A short one, at once. To a process that is gone it says nothing: `receive` tells of that."""
        if self._writer.is_closing():
            return
        frame = _encoder.encode(message)
        self._writer.write(len(frame).to_bytes(4) + frame)

    async def send(self, message: _Said) -> None:
        """A long one: returns when most of it is on its way."""
        self.say(message)
        with suppress(ConnectionError):
            await self._writer.drain()

    async def receive(self) -> _Heard | None:
        """None: the other process is gone."""
        try:
            size = int.from_bytes(await self._reader.readexactly(4))
            frame = await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return self._decoder.decode(frame)

    def close(self) -> None:
        self._writer.close()


ParentEnd: TypeAlias = Channel[Downward, Upward]
WorkerEnd: TypeAlias = Channel[Upward, Downward]


async def open_parent_end(pair: socket.socket) -> ParentEnd:
    reader, writer = await asyncio.open_unix_connection(sock=pair)
    return Channel(reader, writer, _upward)


async def open_worker_end(pair: socket.socket) -> WorkerEnd:
    reader, writer = await asyncio.open_unix_connection(sock=pair)
    return Channel(reader, writer, _downward)


def _encode_path(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"no message holds a {type(value).__name__}")


def _decode_path(kind: type, value: object) -> Path:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"no message holds a {kind.__name__}")


_encoder = msgspec.json.Encoder(enc_hook=_encode_path)
_downward: msgspec.json.Decoder[Downward] = msgspec.json.Decoder(Downward, dec_hook=_decode_path)
_upward: msgspec.json.Decoder[Upward] = msgspec.json.Decoder(Upward, dec_hook=_decode_path)
