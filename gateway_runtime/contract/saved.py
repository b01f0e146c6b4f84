"""A whole table as one file: what a gateway keeps on its disk, and what the bootstrap Secret holds.

    version, digest, bucket payloads, share -> encode_saved -> gzip bytes -> decode_saved -> SavedTable

The gateway writes it after each applied version; the operator writes the same bytes, cut into parts, for pods
that start while it is away. A file is taken whole or not at all: the digest is recomputed on the way in.
"""

import gzip
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from gateway_runtime.contract.codec import SCHEMA_VERSION, MalformedTable, bucket_digest, snapshot_digest
from gateway_runtime.contract.stream import Share, Version

_FORMAT: Final = "headgate-table"
_LEVEL: Final = 1
"""A table shrinks about eightfold at the lowest level; the highest saves a tenth more for ten times the CPU.
"""


class SavedTable(msgspec.Struct, frozen=True, kw_only=True):
    version: Version
    digest: str
    payloads: tuple[bytes, ...]
    """By bucket index, as `codec.parse_bucket` reads them."""
    share: Share | None
    """The gateway's part of each limit when the file was written; None in a bootstrap."""


class _File(msgspec.Struct, frozen=True, kw_only=True):
    format: str
    schema_version: int
    version: Version
    digest: str
    share: Share | None
    buckets: tuple[msgspec.Raw, ...]


def encode_saved(version: Version, digest: str, payloads: Sequence[bytes], share: Share | None) -> bytes:
    """Deterministic: no time of writing is in it."""
    file = _File(
        format=_FORMAT,
        schema_version=SCHEMA_VERSION,
        version=version,
        digest=digest,
        share=share,
        buckets=tuple(msgspec.Raw(payload) for payload in payloads),
    )
    return gzip.compress(_encoder.encode(file), _LEVEL, mtime=0)


def decode_saved(data: bytes) -> SavedTable:
    """Raises MalformedTable for a file that is torn, altered, or of another schema version."""
    try:
        file = _decoder.decode(gzip.decompress(data))
    except (OSError, EOFError, zlib.error) as error:
        raise MalformedTable(f"the file is not whole: {error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedTable(f"the file is not a saved table: {error}") from error
    if (file.format, file.schema_version) != (_FORMAT, SCHEMA_VERSION):
        raise MalformedTable(
            f"the file is a {file.format} of schema version {file.schema_version}; "
            f"this gateway reads {_FORMAT} of schema version {SCHEMA_VERSION}"
        )
    payloads = tuple(bytes(bucket) for bucket in file.buckets)
    digest = snapshot_digest([bucket_digest(payload) for payload in payloads])
    if digest != file.digest:
        raise MalformedTable(f"the file says digest {file.digest[:12]}, its content has {digest[:12]}")
    return SavedTable(version=file.version, digest=digest, payloads=payloads, share=file.share)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_File)
