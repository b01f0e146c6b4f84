"""A whole table as one file: it comes back whole, or not at all."""

import gzip
from collections.abc import Callable

import pytest

from gateway_runtime.contract.codec import MalformedTable, build_snapshot
from gateway_runtime.contract.saved import SavedTable, decode_saved, encode_saved
from gateway_runtime.contract.stream import Share, Version
from tests.contract.tables import build_provider, build_table

SNAPSHOT = build_snapshot(build_table(providers=[build_provider()]))
PAYLOADS = tuple(bucket.payload for bucket in SNAPSHOT.buckets)
FILE = encode_saved(Version(1, 2), SNAPSHOT.digest, PAYLOADS, Share(index=0, gateways=2))


def rewrite(old: bytes, new: bytes) -> bytes:
    return gzip.compress(gzip.decompress(FILE).replace(old, new))


def test_a_saved_table_comes_back_as_it_was() -> None:
    assert decode_saved(FILE) == SavedTable(
        version=Version(1, 2),
        digest=SNAPSHOT.digest,
        payloads=PAYLOADS,
        share=Share(index=0, gateways=2),
    )


def test_the_same_table_gives_the_same_file() -> None:
    assert encode_saved(Version(1, 2), SNAPSHOT.digest, PAYLOADS, Share(index=0, gateways=2)) == FILE


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda: b"", "the file is not a saved table: Input data was truncated"),
        (lambda: b"no gzip", "the file is not whole: Not a gzipped file (b'no')"),
        (
            lambda: FILE[: len(FILE) // 2],
            "the file is not whole: Compressed file ended before the end-of-stream marker was reached",
        ),
        (
            lambda: gzip.compress(b"[]"),
            "the file is not a saved table: Expected `object`, got `array`",
        ),
        (
            lambda: rewrite(b'"schema_version":1', b'"schema_version":9'),
            "the file is a headgate-table of schema version 9; "
            "this gateway reads headgate-table of schema version 1",
        ),
    ],
)
def test_a_damaged_file_says_what_is_wrong(damage: Callable[[], bytes], message: str) -> None:
    with pytest.raises(MalformedTable) as caught:
        decode_saved(damage())

    assert str(caught.value) == message


def test_an_altered_file_is_refused_by_its_digest() -> None:
    with pytest.raises(
        MalformedTable, match=r"^the file says digest [0-9a-f]{12}, its content has [0-9a-f]{12}$"
    ):
        decode_saved(rewrite(b"127.0.0.1:9", b"127.0.0.1:8"))
