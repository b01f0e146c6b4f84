"""What is kept until it is needed again, whatever is cancelled and whatever the disk does."""

import asyncio
import tempfile
from collections.abc import Sequence
from typing import Any

import pytest

from gateway_runtime.contract.errors import GatewayError
from gateway_runtime.server.spool import Spool
from gateway_runtime.server.upload import Form, Source, Upload, open_upload
from gateway_runtime.upstream.exchange import UpstreamFailure

MODEL = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt\r\n'
FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"f" * 700_000 + b"\r\n"
END = b"--x--\r\n"
WANTED = frozenset({"model"})


async def read_all(spool: Spool) -> bytes:
    data = b""
    while len(data) < spool.size:
        data += await spool.read(len(data), 7)
    return data


@pytest.mark.parametrize("memory_bytes", [0, 5, 1000])
async def test_what_was_put_in_comes_out(memory_bytes: int) -> None:
    spool = Spool(memory_bytes)
    for piece in (b"abc", b"defgh", b"", b"ijklmnop"):
        await spool.append(piece)
    read = await read_all(spool)
    await spool.close()

    assert (read, spool.start) == (b"abcdefghijklmnop", 0)


async def test_a_cancelled_write_is_not_lost() -> None:
    spool = Spool(4)
    writing = asyncio.create_task(spool.append(b"abcdefgh"))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await spool.append(b"ijklmnop")
    read = await read_all(spool)
    await spool.close()

    assert read == b"abcdefghijklmnop"


async def test_without_a_disk_all_stays_in_memory_until_it_is_forgotten(monkeypatch: Any) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    spool = Spool(4)
    await spool.append(b"abcdefgh")
    await spool.append(b"ijkl")
    read = await read_all(spool)
    spool.forget(6)
    rest = await spool.read(6, 100)
    await spool.close()

    assert (read, rest) == (b"abcdefghijkl", b"ghijkl")
    assert (spool.is_filed, spool.start) == (False, 6)


async def test_what_a_disk_keeps_is_never_forgotten() -> None:
    spool = Spool(4)
    await spool.append(b"abcdefgh")
    spool.forget(6)
    read = await read_all(spool)
    await spool.close()

    assert read == b"abcdefgh"


def source_of(pieces: Sequence[bytes], length: int | None = None) -> Source:
    coming = iter(pieces)

    async def read() -> bytes:
        return next(coming, b"")

    return Source("multipart/form-data; boundary=x", length, read)


async def take(body: Form) -> bytes:
    return b"".join([piece async for piece in body.chunks()])


async def test_a_form_gets_the_providers_name_of_its_model_as_often_as_it_is_sent() -> None:
    whole = MODEL + FILE + END
    upload = await open_upload(source_of([MODEL[:60], MODEL[60:] + FILE, END], len(whole)), WANTED, WANTED)
    body = upload.open("theirs")
    told = body.length
    sent = [await take(body), await take(upload.open("gpt")), await take(upload.open(None))]
    known = upload.open("x").length
    await upload.close()

    assert sent == [whole.replace(b"gpt", b"theirs"), whole, whole]
    assert (told, known) == (len(whole) + 3, len(whole) - 2)


async def test_a_form_without_the_wanted_field_is_read_to_its_end() -> None:
    upload = await open_upload(source_of([FILE, END]), WANTED, WANTED)
    sent = await take(upload.open("theirs"))
    await upload.close()

    assert (sent, upload.fields) == (FILE + END, {})


async def test_two_who_read_at_once_get_the_same() -> None:
    upload = await open_upload(source_of([MODEL, FILE, END]), WANTED, WANTED)
    one, other = await asyncio.gather(take(upload.open(None)), take(upload.open(None)))
    await upload.close()

    assert one == other == MODEL + FILE + END


async def test_what_could_not_be_kept_cannot_be_sent_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    upload = await open_upload(source_of([MODEL, FILE, END]), WANTED, WANTED)
    first = await take(upload.open("theirs"))
    repeatable = upload.may_repeat
    with pytest.raises(UpstreamFailure, match="could not be kept"):
        await take(upload.open("theirs"))
    await upload.close()

    assert first == (MODEL + FILE + END).replace(b"gpt", b"theirs")
    assert not repeatable


async def test_a_form_that_fails_while_its_fields_are_looked_for_leaves_nothing_behind() -> None:
    with pytest.raises(GatewayError, match="does not begin with the boundary"):
        await open_upload(source_of([b"nonsense"]), WANTED, WANTED)
    with pytest.raises(GatewayError, match="This endpoint takes a form"):
        Upload(source_of([])._replace(content_type="text/plain"), WANTED, Spool())
