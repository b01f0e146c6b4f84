"""A connection by itself, its socket scripted: what happens within one step of the loop."""

import asyncio
from collections.abc import Callable

import pytest

from gateway_runtime.engine.retry import Outcome
from gateway_runtime.upstream.answer import Answer
from gateway_runtime.upstream.connection import JOIN_BYTES, SLICE_BYTES, Connection, State
from gateway_runtime.upstream.dial import Dialer, Way
from gateway_runtime.upstream.endpoint import DEFAULT_LIMITS
from gateway_runtime.upstream.exchange import UpstreamFailure
from gateway_runtime.upstream.origin import Origin
from gateway_runtime.upstream.pool import Pool
from gateway_runtime.upstream.resolver import Resolver
from gateway_runtime.upstream.trust import DEFAULT_TLS

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Wire(asyncio.Transport):
    """A socket whose buffer is full after each write."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(
            Way(Origin("http", "x", 80), DEFAULT_TLS, None), Dialer(Resolver()), DEFAULT_LIMITS, 4
        )
        self.connection = Connection(asyncio.get_running_loop(), self.pool)
        self.connection.connection_made(self)
        self.written: list[int] = []
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(len(data))
        self.connection.pause_writing()

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    async def send(self, body: bytes = b"{}") -> asyncio.Task[Answer]:
        """Returns when the request is written."""
        assert self.pool.try_enter()
        sending = asyncio.create_task(self.connection.exchange("POST", b"head", body, lambda: None))
        await asyncio.sleep(0)
        return sending

    @property
    def busy(self) -> int:
        return self.pool.statistics().busy


async def test_a_large_body_waits_for_the_socket_piece_by_piece() -> None:
    wire = Wire()
    sending = await wire.send(bytes(2 * SLICE_BYTES + 1))
    written = [list(wire.written)]
    for _ in range(4):
        wire.connection.resume_writing()
        written.append(list(wire.written))
    sending.cancel()

    slices = [4, SLICE_BYTES, SLICE_BYTES, 1]
    assert written == [slices[:1], slices[:2], slices[:3], slices, slices]


async def test_a_socket_that_closes_as_the_request_goes_out_is_told_by_its_end() -> None:
    wire = Wire()
    wire.aborted = True
    sending = await wire.send()
    wire.connection.connection_lost(ConnectionResetError())

    with pytest.raises(UpstreamFailure, match="the connection was reset"):
        await sending
    assert wire.written == []
    assert wire.busy == 0


@pytest.mark.parametrize(
    ("happen", "outcome", "reason"),
    [
        (
            lambda connection: connection.data_received(b"220 mail ready\r\n"),
            Outcome.MALFORMED,
            "bytes came before the request was sent",
        ),
        (
            lambda connection: connection.eof_received(),
            Outcome.RESET,
            "the connection was closed before an answer came",
        ),
        (
            lambda connection: connection.connection_lost(ConnectionResetError()),
            Outcome.RESET,
            "the connection was reset",
        ),
    ],
)
async def test_what_happens_before_the_first_request_is_told_by_it(
    happen: Callable[[Connection], None], outcome: Outcome, reason: str
) -> None:
    wire = Wire()
    happen(wire.connection)
    sending = await wire.send()
    with pytest.raises(UpstreamFailure) as caught:
        await sending

    assert (caught.value.outcome, caught.value.reason) == (outcome, reason)
    assert (wire.busy, wire.written) == (0, [])


@pytest.mark.parametrize("received", [HEAD + b"{}", HEAD + b"{", HEAD, b"nonsense", b"HTTP"])
@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_whoever_leaves_in_the_step_in_which_bytes_come_leaves_no_place_taken(
    received: bytes, cancelled_first: bool
) -> None:
    wire = Wire()
    sending = await wire.send()
    if cancelled_first:
        sending.cancel()
    wire.connection.data_received(received)
    if not cancelled_first:
        sending.cancel()
    await asyncio.wait([sending])

    kept = received == HEAD + b"{}"  # a whole answer leaves a connection that is as good as before
    assert sending.cancelled()
    assert (wire.busy, wire.aborted) == (0, not kept)
    assert wire.connection.state is (State.IDLE if kept else State.CLOSED)


async def test_a_connection_that_was_given_up_by_one_and_taken_by_another_stays_open() -> None:
    wire = Wire()
    leaving = await wire.send()
    wire.connection.data_received(HEAD + b"{}")
    leaving.cancel()
    assert wire.pool.take_idle() is wire.connection
    wire.pool.try_enter()
    staying = wire.connection.exchange("POST", b"head", b"{}", lambda: None)
    task = asyncio.create_task(staying)
    await asyncio.wait([leaving])
    wire.connection.data_received(HEAD + b"[]")

    assert await (await task).next_chunk() == b"[]"
    assert (wire.aborted, wire.busy) == (False, 0)


async def test_a_body_that_has_come_whole_can_be_had_without_waiting() -> None:
    wire = Wire()
    sending = await wire.send()
    wire.connection.data_received(HEAD + b"{")
    answer = await sending
    early = answer.whole()
    wire.connection.data_received(b"}")

    assert (early, answer.whole(), await answer.next_chunk()) == (None, b"{}", b"{}")


async def test_a_body_that_is_too_large_to_copy_goes_out_behind_its_head() -> None:
    wire = Wire()
    sending = await wire.send(bytes(JOIN_BYTES + 1))
    sending.cancel()

    assert wire.written == [len(b"head") + JOIN_BYTES + 1]
